package environment

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Unread warns of variables that nothing has read although they seem meant for us. Their names
// begin with one of the prefixes, or nearly equal one that was read. The environment is a list of
// "name=value", as from os.Environ. Call it after all reads.
//
// Kubernetes sets variables for each Service, and a Service may have such a name.
func (r *Reader) Unread(environ []string, prefixes ...string) {
	set := make(map[string]bool)
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); strings.TrimSpace(value) != "" {
			set[name] = true
		}
	}
	for _, read := range r.variables {
		delete(set, read.Name)
	}
	links := serviceLinks(set)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		i := slices.IndexFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		var closest string
		if i >= 0 {
			closest = r.closest(name, func(rest, known string, changes int) bool { return 2*changes <= max(len(rest), len(known)) }, prefixes[i])
		} else {
			// Another program's, unless it is very alike.
			closest = r.closest(name, func(_, known string, changes int) bool { return changes <= 2 && 6*changes <= len(known) }, "")
		}
		if links(name) || i < 0 && closest == "" {
			continue
		}
		warning := name + " is not read: there is no such setting"
		if closest != "" {
			warning += fmt.Sprintf("; the closest is %s", closest)
		}
		r.unread = append(r.unread, warning)
	}
}

// serviceLinks returns a function that reports whether a variable is one that Kubernetes
// sets for a Service: NAME_SERVICE_HOST, NAME_PORT and more.
func serviceLinks(set map[string]bool) func(name string) bool {
	var services []string
	for name := range set {
		if service, ok := strings.CutSuffix(name, "_SERVICE_HOST"); ok {
			services = append(services, service)
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(services, func(service string) bool {
			rest, ok := strings.CutPrefix(name, service)
			return ok && (rest == "_PORT" || strings.HasPrefix(rest, "_PORT_") || strings.HasPrefix(rest, "_SERVICE_"))
		})
	}
}

// closest returns the name that was asked for and is most like another one, among those with
// that prefix that are alike; or nothing.
func (r *Reader) closest(name string, alike func(rest, known string, changes int) bool, prefix string) (closest string) {
	rest := strings.TrimPrefix(name, prefix)
	least := 0
	for _, v := range r.variables {
		known, ok := strings.CutPrefix(v.Name, prefix)
		if !ok {
			continue
		}
		changes := distance(rest, known)
		if alike(rest, known, changes) && (closest == "" || changes < least) {
			closest, least = v.Name, changes
		}
	}
	return closest
}

// distance returns how many bytes must be inserted, deleted or replaced to make one text
// of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the part of a so far to each part of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

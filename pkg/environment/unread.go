package environment

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Unread warns of variables whose names begin with the prefix and that were not asked for:
// their names are misspelled, or they are another program's. The environment is a list of
// "name=value", as of os.Environ. It is called after all reads.
//
// Kubernetes sets variables for each Service, and a Service may have such a name.
func (r *Reader) Unread(prefix string, environ []string) {
	set := make(map[string]bool)
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, prefix) && strings.TrimSpace(value) != "" {
			set[name] = true
		}
	}
	for _, read := range r.variables {
		delete(set, read.Name)
	}
	links := serviceLinks(set)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if links(name) {
			continue
		}
		warning := name + " is not read: there is no such setting"
		if closest := r.closest(prefix, name); closest != "" {
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

// closest returns the name that was asked for and is most like another one, or nothing if
// more than half of it is different.
func (r *Reader) closest(prefix, name string) (closest string) {
	rest := strings.TrimPrefix(name, prefix)
	least := 0
	for _, v := range r.variables {
		known, ok := strings.CutPrefix(v.Name, prefix)
		if !ok {
			continue
		}
		changes := distance(rest, known)
		if 2*changes <= max(len(rest), len(known)) && (closest == "" || changes < least) {
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

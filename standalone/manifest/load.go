// Package manifest reads Kubernetes manifests from files and folders, reports for
// each error where it is and why, and follows changes. An object that is refused
// harms no other. As with kubectl apply, its previous version stays in effect while
// its file has an error. The package must not know what the objects are used for.
package manifest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Problem is an error in a manifest, with its place.
type Problem struct {
	File string
	Line int
	// Object names the object with the problem, if its name could be read.
	Object string
	Reason string
	// Refused reports whether the whole object is without effect, not only a part.
	Refused bool
}

// String is "file:line: reason", which editors and terminals understand.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason) }

// extensions of the files that are read from a folder.
var extensions = []string{".yaml", ".yml", ".json"}

// Load reads all files and the folders' files (not those of their subfolders).
// What a file with refused objects defined in the previous Set stays in the
// new one. previous may be nil.
func Load(paths []string, checker Checker, previous *Set) (*Set, []Problem) {
	l := loader{checker: checker, set: &Set{entries: map[Reference]Entry{}}, faulty: map[string]bool{}}
	for _, path := range paths {
		l.path(path)
	}
	for _, r := range previous.References() {
		e, _ := previous.Lookup(r)
		if _, replaced := l.set.entries[r]; !replaced && l.faulty[e.File] {
			l.set.entries[r] = e
		}
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return l.set, l.problems
}

type loader struct {
	checker  Checker
	set      *Set
	problems []Problem
	faulty   map[string]bool // files with refused objects
}

func (l *loader) report(p Problem) {
	l.problems = append(l.problems, p)
	if p.Refused {
		l.faulty[p.File] = true
	}
}

func (l *loader) path(path string) {
	info, err := os.Stat(path)
	if err != nil {
		l.report(Problem{File: path, Line: 1, Reason: fmt.Sprintf("reading: %v", err), Refused: true})
		return
	}
	if !info.IsDir() {
		l.file(path)
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		l.report(Problem{File: path, Line: 1, Reason: fmt.Sprintf("reading: %v", err), Refused: true})
		return
	}
	for _, entry := range entries {
		hidden := strings.HasPrefix(entry.Name(), ".")
		if !entry.IsDir() && !hidden && slices.Contains(extensions, filepath.Ext(entry.Name())) {
			l.file(filepath.Join(path, entry.Name()))
		}
	}
}

func (l *loader) file(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		l.report(Problem{File: path, Line: 1, Reason: fmt.Sprintf("reading: %v", err), Refused: true})
		return
	}
	for _, d := range split(data) {
		object, reference, problems := l.checker.decode(&d)
		for _, p := range problems {
			p.File = path
			if reference.Kind != "" {
				p.Object = reference.String()
			}
			l.report(p)
		}
		if object == nil {
			continue
		}
		if first, taken := l.set.entries[reference]; taken {
			l.report(Problem{
				File: path, Line: d.line, Object: reference.String(), Refused: true,
				Reason: fmt.Sprintf("%s is already defined at %s:%d", reference, first.File, first.Line),
			})
			continue
		}
		l.set.entries[reference] = Entry{Object: object, File: path, Line: d.line}
	}
}

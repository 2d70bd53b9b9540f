// Package environment reads the settings of a program from environment variables. They have
// types, defaults and deprecated names. It collects all errors before returning, in words for
// people. It lists the variables that a program reads, so that the reference page comes from the
// code that reads them. It must not know any variable, and it reads only what its caller passes
// in.
//
// A reader for struct tags would name Go fields and types in its errors. Users know the names of
// variables, not our fields.
package environment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Prefix begins the names of all variables of this project. Exceptions are variables of
// libraries, and those that had another name before, some of them with OldPrefix.
const (
	Prefix    = "KEDA_HTTP_"
	OldPrefix = "KEDAHTTP_"
)

// Lookup returns the value of a variable and whether there is one: os.LookupEnv,
// or a map of a test.
type Lookup func(name string) (value string, ok bool)

// None is an environment without any variable: reading from it lists them all.
func None(string) (string, bool) { return "", false }

// Variable is one setting, as a reference page shows it.
type Variable struct {
	// Name of the variable.
	Name string
	// Default as a user would write it; empty means no default.
	Default string
	// Type says which values are valid, in a word or two: "duration", "true or false".
	Type string
	// Description is one line: what it sets, its unit, what 0 or empty means.
	Description string
	// Required says that the program does not start without it.
	Required bool
	// DeprecatedNameOf is the current name of a deprecated variable, otherwise empty. Default,
	// Type and Required are those of the current one.
	DeprecatedNameOf string
}

// Option is more about a variable than most need.
type Option func(*question)

// question is a variable with how to ask for it.
type question struct {
	Variable
	example string
	old     string
	oldWins bool
}

// Required variables have no default; example is a value for the error.
func Required(example string) Option {
	return func(q *question) { q.Required, q.example = true, example }
}

// Deprecated is an old name that is read when the variable is not set.
func Deprecated(old string) Option {
	return func(q *question) { q.old = old }
}

// DeprecatedWins is an old name that is read whenever it is set.
func DeprecatedWins(old string) Option {
	return func(q *question) { q.old, q.oldWins = old, true }
}

// Reader reads variables one by one. It treats an empty value as not set, because charts write
// values that nobody filled in. It is not safe for concurrent use.
type Reader struct {
	lookup    Lookup
	variables []Variable
	errors    []error
	warnings  []string
	unread    []string // warnings of variables that nothing reads
}

// NewReader returns a Reader of what lookup finds.
func NewReader(lookup Lookup) *Reader { return &Reader{lookup: lookup} }

// Variables are those that were asked for, set or not, each followed by its old
// name.
func (r *Reader) Variables() []Variable { return r.variables }

// Warnings are for the log: old names in use, what Warn recorded, and what Unread found.
func (r *Reader) Warnings() []string { return slices.Concat(r.warnings, r.unread) }

// Err says all that is wrong, a line each, or is nil. What Unread found may be the reason.
func (r *Reader) Err() error {
	if len(r.errors) == 0 {
		return nil
	}
	all := slices.Clone(r.errors)
	for _, unread := range r.unread {
		all = append(all, errors.New(unread))
	}
	return fmt.Errorf("reading the environment:\n%w", errors.Join(all...))
}

// Mention lists a variable that a library reads by itself.
func (r *Reader) Mention(v Variable) { r.variables = append(r.variables, v) }

// Fail records an error of a variable that no single read can find.
func (r *Reader) Fail(name, format string, args ...any) {
	r.errors = append(r.errors, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

// Warn notes what somebody should know who runs the program.
func (r *Reader) Warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// Parse reads a variable of any type. Without a value or default it returns T's zero value and
// does not call parse. The errors of parse end a sentence that begins with the name.
func Parse[T any](r *Reader, v Variable, parse func(value string) (T, error), options ...Option) T {
	var zero T
	q := question{Variable: v}
	for _, option := range options {
		option(&q)
	}
	r.list(&q)
	name, value := r.find(&q)
	if value == "" {
		if q.Required {
			r.Fail(name, "must be set, for example to %s", q.example)
		}
		return zero
	}
	parsed, err := parse(value)
	if err != nil {
		r.Fail(name, "%w", err)
		return zero
	}
	return parsed
}

// list notes the variable for Variables.
func (r *Reader) list(q *question) {
	r.variables = append(r.variables, q.Variable)
	if q.old == "" {
		return
	}
	old := q.Variable
	old.Name, old.DeprecatedNameOf = q.old, q.Name
	old.Description = "Deprecated name of " + q.Name + "; read when that is not set."
	if q.oldWins {
		old.Description = "Deprecated name of " + q.Name + "; wins over it when both are set."
	}
	r.variables = append(r.variables, old)
}

// find returns the value to use and the name that it is set by.
func (r *Reader) find(q *question) (name, value string) {
	value = r.set(q.Name)
	old := ""
	if q.old != "" {
		old = r.set(q.old)
	}
	switch {
	case old == "" && value == "":
		return q.Name, q.Default
	case old == "":
		return q.Name, value
	case value == "":
		r.Warn("%s is deprecated; use %s", q.old, q.Name)
	case q.oldWins:
		r.Warn("%s is deprecated; it is set and wins over %s", q.old, q.Name)
	default:
		r.Warn("%s is deprecated and ignored, as %s is set", q.old, q.Name)
		return q.Name, value
	}
	return q.old, old
}

// set returns what a variable is set to.
func (r *Reader) set(name string) string {
	value, _ := r.lookup(name)
	return strings.TrimSpace(value)
}

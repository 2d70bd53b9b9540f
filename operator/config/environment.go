package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// required stands for the default of a variable that has none.
	required = ""
	// Names of old began with oldPrefix where they now begin with prefix.
	prefix, oldPrefix = "KEDA_HTTP_", "KEDAHTTP_"
)

// environment reads variables one by one and collects what is wrong.
type environment struct {
	lookup   func(string) (string, bool)
	errors   []error
	warnings []string
	// seen is told of every variable that is read, with its default; for tests
	// of the contract.
	seen func(name, fallback string)
}

// fail notes what is wrong with a variable.
func (e *environment) fail(name, format string, args ...any) {
	e.errors = append(e.errors, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

// text returns the value of a variable, else that of its old spelling, else its
// default.
func (e *environment) text(name, fallback string) string {
	if e.seen != nil {
		e.seen(name, fallback)
	}
	if value, ok := e.set(name); ok {
		return value
	}
	old := oldPrefix + strings.TrimPrefix(name, prefix)
	if value, ok := e.set(old); ok {
		e.warnings = append(e.warnings, fmt.Sprintf("%s is deprecated; use %s", old, name))
		return value
	}
	return fallback
}

// set returns the value of a variable that is set to something.
func (e *environment) set(name string) (string, bool) {
	value, _ := e.lookup(name)
	value = strings.TrimSpace(value)
	return value, value != ""
}

// word reads a variable that must be set.
func (e *environment) word(name, example string) string {
	value := e.text(name, required)
	if value == required {
		e.fail(name, "must be set, for example to %s", example)
	}
	return value
}

// port reads a TCP port that somebody else listens on.
func (e *environment) port(name, fallback string) int {
	value := e.text(name, fallback)
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil || port == 0 {
		e.fail(name, "%q is not a port (1 to 65535)", value)
	}
	return int(port)
}

// duration reads a time that is above 0.
func (e *environment) duration(name, fallback string) time.Duration {
	value := e.text(name, fallback)
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		e.fail(name, "%q is not a duration, for example 500ms or 15s", value)
	case d <= 0:
		e.fail(name, "%q is not above 0", value)
	}
	return d
}

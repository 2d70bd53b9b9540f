package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// required stands for the default of a variable that has none.
const required = ""

// environment reads variables one by one and collects what is wrong.
type environment struct {
	lookup func(string) (string, bool)
	errors []error
	// seen is told of every variable that is read, with its default; for tests
	// of the contract.
	seen func(name, fallback string)
}

// fail notes what is wrong with a variable.
func (e *environment) fail(name, format string, args ...any) {
	e.errors = append(e.errors, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

// text returns the value of a variable or its default.
func (e *environment) text(name, fallback string) string {
	if e.seen != nil {
		e.seen(name, fallback)
	}
	value, _ := e.lookup(name)
	if value = strings.TrimSpace(value); value != "" {
		return value
	}
	return fallback
}

// word reads a variable that must be set.
func (e *environment) word(name, example string) string {
	value := e.text(name, required)
	if value == required {
		e.fail(name, "must be set, for example to %s", example)
	}
	return value
}

// port reads a TCP port; 0 lets the system pick one.
func (e *environment) port(name, fallback string) int {
	value := e.text(name, fallback)
	if value == required {
		e.fail(name, "must be set to a port, for example 9090")
		return 0
	}
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		e.fail(name, "%q is not a port (0 to 65535)", value)
	}
	return int(port)
}

func (e *environment) flag(name, fallback string) bool {
	value := e.text(name, fallback)
	on, err := strconv.ParseBool(value)
	if err != nil {
		e.fail(name, "%q is neither true nor false", value)
	}
	return on
}

// duration reads a time that is above 0.
func (e *environment) duration(name, fallback string) time.Duration {
	value := e.text(name, fallback)
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		e.fail(name, "%q is not a duration, for example 500ms or 5m", value)
	case d <= 0:
		e.fail(name, "%q is not above 0", value)
	}
	return d
}

// milliseconds reads a whole number of milliseconds that is above 0.
func (e *environment) milliseconds(name, fallback string) time.Duration {
	value := e.text(name, fallback)
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n == 0 {
		e.fail(name, "%q is not a number of milliseconds above 0", value)
	}
	return time.Duration(n) * time.Millisecond
}

// oneOf reads one of a few words; the first is the default.
func (e *environment) oneOf(name string, words ...string) string {
	value := e.text(name, words[0])
	if !slices.Contains(words, value) {
		e.fail(name, "%q is none of %s", value, strings.Join(words, ", "))
	}
	return value
}

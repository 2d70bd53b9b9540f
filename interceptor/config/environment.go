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

// environment reads variables one by one and collects what is wrong. A reader
// for struct tags would name Go fields and types in its errors; whoever sets a
// variable knows its name and not our fields.
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

// set returns the value of a variable that is set to something.
func (e *environment) set(name string) (string, bool) {
	value, _ := e.lookup(name)
	value = strings.TrimSpace(value)
	return value, value != ""
}

// text returns the value of a variable or its default.
func (e *environment) text(name, fallback string) string {
	if e.seen != nil {
		e.seen(name, fallback)
	}
	if value, ok := e.set(name); ok {
		return value
	}
	return fallback
}

// deprecatedWins returns the name to read: the old one whenever it is set.
func (e *environment) deprecatedWins(name, old string) string {
	if _, ok := e.set(old); !ok {
		return name
	}
	if _, both := e.set(name); both {
		e.warnings = append(e.warnings, fmt.Sprintf("%s is deprecated; it is set and wins over %s", old, name))
	} else {
		e.warnings = append(e.warnings, fmt.Sprintf("%s is deprecated; use %s", old, name))
	}
	return old
}

// deprecated returns the name to read: the old one only if the new is not set.
func (e *environment) deprecated(name, old string) string {
	if _, ok := e.set(old); !ok {
		return name
	}
	if _, both := e.set(name); both {
		e.warnings = append(e.warnings, fmt.Sprintf("%s is deprecated and ignored, as %s is set", old, name))
		return name
	}
	e.warnings = append(e.warnings, fmt.Sprintf("%s is deprecated; use %s", old, name))
	return old
}

// port reads a TCP port; 0 lets the system pick one.
func (e *environment) port(name, fallback string) int {
	value := e.text(name, fallback)
	if value == required {
		e.fail(name, "must be set to a port, for example 8080")
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

// number reads a count.
func (e *environment) number(name, fallback string) int {
	value := e.text(name, fallback)
	// 31 bits: the same limit on every platform.
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		e.fail(name, "%q is not a whole number of 0 or more", value)
	}
	return int(n)
}

func (e *environment) bytes(name, fallback string) int64 {
	value := e.text(name, fallback)
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		e.fail(name, "%q is not a number of bytes, for example 16777216", value)
		return 0
	}
	return n
}

func (e *environment) duration(name, fallback string) time.Duration {
	value := e.text(name, fallback)
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		e.fail(name, "%q is not a duration, for example 30s or 5m", value)
		return 0
	case d < 0:
		e.fail(name, "%q is negative", value)
		return 0
	}
	return d
}

// list reads what is separated by commas.
func (e *environment) list(name string) []string {
	var items []string
	for item := range strings.SplitSeq(e.text(name, ""), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// oneOf reads one of a few words; the first is the default.
func (e *environment) oneOf(name string, words ...string) string {
	value := e.text(name, words[0])
	if !slices.Contains(words, value) {
		e.fail(name, "%q is none of %s", value, strings.Join(words, ", "))
	}
	return value
}

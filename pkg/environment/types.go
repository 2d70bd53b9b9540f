package environment

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text reads any text.
func (r *Reader) Text(name, fallback, description string, options ...Option) string {
	v := Variable{Name: name, Default: fallback, Type: "text", Description: description}
	return Parse(r, v, func(value string) (string, error) { return value, nil }, options...)
}

// Namespace reads the name of one namespace; empty is all of them.
func (r *Reader) Namespace(name, description string, options ...Option) string {
	return Parse(r, Variable{Name: name, Type: "text", Description: description}, func(value string) (string, error) {
		if len(value) > 63 || !label.MatchString(value) {
			return "", fmt.Errorf("%q is not the name of one namespace; lists are not supported", value)
		}
		return value, nil
	}, options...)
}

// label is what Kubernetes takes for the name of a namespace (RFC 1123).
var label = regexp.MustCompile("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")

// ListenPort reads a TCP port to listen on; 0 lets the system pick one.
func (r *Reader) ListenPort(name, fallback, description string, options ...Option) int {
	return r.port(name, fallback, description, 0, options)
}

// Port reads a TCP port that somebody else listens on.
func (r *Reader) Port(name, fallback, description string, options ...Option) int {
	return r.port(name, fallback, description, 1, options)
}

func (r *Reader) port(name, fallback, description string, least uint64, options []Option) int {
	v := Variable{Name: name, Default: fallback, Type: "port", Description: description}
	return Parse(r, v, func(value string) (int, error) {
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil || port < least {
			return 0, fmt.Errorf("%q is not a port (%d to 65535)", value, least)
		}
		return int(port), nil
	}, options...)
}

// Address reads host:port to listen on; no host is every address.
func (r *Reader) Address(name, description string, options ...Option) string {
	v := Variable{Name: name, Type: "host:port", Description: description}
	return Parse(r, v, func(value string) (string, error) {
		_, port, err := net.SplitHostPort(value)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return "", fmt.Errorf("%q is not an address, for example :6060 or localhost:6060", value)
		}
		return value, nil
	}, options...)
}

// Flag reads true or false.
func (r *Reader) Flag(name, fallback, description string, options ...Option) bool {
	v := Variable{Name: name, Default: fallback, Type: "true or false", Description: description}
	return Parse(r, v, func(value string) (bool, error) {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return false, fmt.Errorf("%q is neither true nor false", value)
		}
		return on, nil
	}, options...)
}

// Number reads a count.
func (r *Reader) Number(name, fallback, description string, options ...Option) int {
	v := Variable{Name: name, Default: fallback, Type: "number", Description: description}
	return Parse(r, v, func(value string) (int, error) {
		// 31 bits: the same limit on every platform.
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number of 0 or more", value)
		}
		return int(n), nil
	}, options...)
}

// Bytes reads a size.
func (r *Reader) Bytes(name, fallback, description string, options ...Option) int64 {
	v := Variable{Name: name, Default: fallback, Type: "bytes", Description: description}
	return Parse(r, v, func(value string) (int64, error) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%q is not a number of bytes, for example 16777216", value)
		}
		return n, nil
	}, options...)
}

// Duration reads a time of 0 or more.
func (r *Reader) Duration(name, fallback, description string, options ...Option) time.Duration {
	v := Variable{Name: name, Default: fallback, Type: "duration", Description: description}
	return Parse(r, v, func(value string) (time.Duration, error) {
		d, err := time.ParseDuration(value)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is not a duration, for example 30s or 5m", value)
		case d < 0:
			return 0, fmt.Errorf("%q is negative", value)
		}
		return d, nil
	}, options...)
}

// Period reads a time that is above 0.
func (r *Reader) Period(name, fallback, description string, options ...Option) time.Duration {
	v := Variable{Name: name, Default: fallback, Type: "duration above 0", Description: description}
	return Parse(r, v, func(value string) (time.Duration, error) {
		d, err := time.ParseDuration(value)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is not a duration, for example 500ms or 15s", value)
		case d <= 0:
			return 0, fmt.Errorf("%q is not above 0", value)
		}
		return d, nil
	}, options...)
}

// Milliseconds reads a time that is above 0, as a whole number without a unit.
func (r *Reader) Milliseconds(name, fallback, description string, options ...Option) time.Duration {
	v := Variable{Name: name, Default: fallback, Type: "milliseconds above 0", Description: description}
	return Parse(r, v, func(value string) (time.Duration, error) {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%q is not a number of milliseconds above 0", value)
		}
		return time.Duration(n) * time.Millisecond, nil
	}, options...)
}

// OneOf reads one of a few words.
func (r *Reader) OneOf(words []string, name, fallback, description string, options ...Option) string {
	v := Variable{Name: name, Default: fallback, Type: strings.Join(words, ", "), Description: description}
	return Parse(r, v, func(value string) (string, error) {
		if !slices.Contains(words, value) {
			return "", fmt.Errorf("%q is not one of %s", value, v.Type)
		}
		return value, nil
	}, options...)
}

// List reads a list separated by commas.
func (r *Reader) List(name, description string, options ...Option) []string {
	return ParseList(r, Variable{Name: name, Type: "list", Description: description},
		func(item string) (string, error) { return item, nil }, options...)
}

// ParseList reads a list separated by commas, each item by parse. It reports the errors of all
// items.
func ParseList[T any](r *Reader, v Variable, parse func(item string) (T, error), options ...Option) []T {
	return Parse(r, v, func(value string) ([]T, error) {
		var items []T
		var failures []string
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			parsed, err := parse(item)
			if err != nil {
				failures = append(failures, err.Error())
				continue
			}
			items = append(items, parsed)
		}
		if len(failures) > 0 {
			return nil, fmt.Errorf("%s", strings.Join(failures, "; "))
		}
		return items, nil
	}, options...)
}

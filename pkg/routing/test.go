package routing

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// HeaderTest decides about a header by the values that a request has of it. There are no values
// if the request lacks the header. Tests are immutable, and their time is bounded.
type HeaderTest interface {
	Match(values []string) bool
	// String returns the test as messages show it, the same for equal tests.
	String() string
}

// Bounds of tests. A pattern of 221 bytes once took 3.3 s of CPU for one header of 8 KiB.
const (
	// maxLook is how much of the values of a header Contains and Regex look at.
	maxLook = 1 << 10
	// MaxPattern is the length of a regular expression.
	MaxPattern = 128
	// maxInstructions of a compiled regular expression.
	maxInstructions = 300
	// RegexWeight is what a regular expression weighs among the conditions of a rule that
	// shares its table with others.
	RegexWeight = 2048
)

// Absent is the test that requests without the header pass.
var Absent HeaderTest = absent{}

type absent struct{}

func (absent) Match(values []string) bool { return len(values) == 0 }
func (absent) String() string             { return "is absent" }

// OneOf returns the test that a header passes which has one of the wanted values.
func OneOf(wanted ...string) HeaderTest { return &oneOf{wanted} }

type oneOf struct{ wanted []string }

func (t *oneOf) Match(values []string) bool {
	for _, value := range values {
		if slices.Contains(t.wanted, value) {
			return true
		}
	}
	return false
}

func (t *oneOf) String() string { return "is " + strings.Join(t.wanted, " or ") }

// Prefix returns the test that a header passes which begins with one of the prefixes.
func Prefix(prefixes ...string) HeaderTest { return &prefix{prefixes} }

type prefix struct{ prefixes []string }

func (t *prefix) Match(values []string) bool {
	for _, value := range values {
		for _, prefix := range t.prefixes {
			if strings.HasPrefix(value, prefix) {
				return true
			}
		}
	}
	return false
}

func (t *prefix) String() string { return "begins with " + strings.Join(t.prefixes, " or ") }

// Contains returns the test that a header passes whose first KiB has one of the parts,
// without the case of ASCII letters.
func Contains(parts ...string) HeaderTest {
	t := &contains{label: "contains " + strings.Join(parts, " or "), parts: make([][]byte, len(parts))}
	for i, part := range parts {
		t.parts[i] = []byte(lower(part))
	}
	return t
}

// Named returns a test that messages show by a name, as its values are many.
func Named(name string, test HeaderTest) HeaderTest { return &named{test, name} }

type named struct {
	HeaderTest
	name string
}

func (t *named) String() string { return t.name }

type contains struct {
	label string
	parts [][]byte
}

func (t *contains) Match(values []string) bool {
	var buffer [maxLook]byte
	room := buffer[:]
	for _, value := range values {
		text := room[:copy(room, value)]
		for i := range text {
			text[i] = lowerByte(text[i])
		}
		for _, part := range t.parts {
			if bytes.Contains(text, part) {
				return true
			}
		}
		if room = room[len(text):]; len(room) == 0 {
			break
		}
	}
	return false
}

func (t *contains) String() string { return t.label }

// Regex returns a test that a header passes if one of the regular expressions (RE2) matches its
// first KiB, or what is wrong with them.
func Regex(patterns ...string) (HeaderTest, error) {
	t := &regex{}
	for _, pattern := range patterns {
		compiled, err := compilePattern(pattern)
		if err != nil {
			return nil, err
		}
		t.patterns = append(t.patterns, compiled)
	}
	return t, nil
}

type regex struct{ patterns []*regexp.Regexp }

func (t *regex) Match(values []string) bool {
	room := maxLook
	for _, value := range values {
		text := value[:min(len(value), room)]
		for _, pattern := range t.patterns {
			if pattern.MatchString(text) {
				return true
			}
		}
		if room -= len(text); room == 0 {
			break
		}
	}
	return false
}

func (t *regex) String() string {
	text := "matches "
	for i, pattern := range t.patterns {
		if i > 0 {
			text += " or "
		}
		text += pattern.String()
	}
	return text
}

func compilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > MaxPattern {
		return nil, fmt.Errorf("it is longer than %d bytes", MaxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("parsing it: %w", err)
	}
	if instructions(parsed) > maxInstructions {
		return nil, fmt.Errorf("it compiles to more than %d instructions", maxInstructions)
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("compiling it: %w", err)
	}
	return compiled, nil
}

// instructions returns an upper bound on the instructions of a compiled expression, or more than
// maxInstructions. Compiling one of a few bytes can take 128 MiB.
func instructions(e *syntax.Regexp) int {
	sum := 2 // a match, a failure
	for _, sub := range e.Sub {
		if sum += instructions(sub) - 2; sum > maxInstructions {
			return sum
		}
	}
	switch e.Op {
	case syntax.OpLiteral:
		return sum + len(e.Rune)
	case syntax.OpCharClass:
		return sum + 1 + len(e.Rune)/64 // many ranges are searched
	case syntax.OpCapture:
		return sum + 2
	case syntax.OpAlternate:
		return sum + len(e.Sub) - 1
	case syntax.OpRepeat:
		return (sum-2+1)*max(e.Min, e.Max, 1) + 1 + 2
	case syntax.OpConcat:
		return sum
	}
	return sum + 1
}

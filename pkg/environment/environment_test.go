package environment

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func of(settings ...string) Lookup {
	m := make(map[string]string)
	for i := 0; i+1 < len(settings); i += 2 {
		m[settings[i]] = settings[i+1]
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestValues(t *testing.T) {
	for _, test := range []struct {
		reason, value string
		read          func(r *Reader) any
		want          any
		failure       string
	}{
		{"text is trimmed", " a b ", func(r *Reader) any { return r.Text("X", "", "") }, "a b", ""},
		{"nothing is the default", " ", func(r *Reader) any { return r.Text("X", "d", "") }, "d", ""},
		{"no value and no default", "", func(r *Reader) any { return r.Duration("X", "", "") }, time.Duration(0), ""},
		{"required", "", func(r *Reader) any { return r.Text("X", "", "", Required("keda")) }, "", "must be set, for example to keda"},
		{"a port that the system picks", "0", func(r *Reader) any { return r.ListenPort("X", "1", "") }, 0, ""},
		{"no port to connect to", "0", func(r *Reader) any { return r.Port("X", "1", "") }, 0, `"0" is not a port (1 to 65535)`},
		{"a port that is too large", "65536", func(r *Reader) any { return r.ListenPort("X", "1", "") }, 0, `"65536" is not a port (0 to 65535)`},
		{"an address", "localhost:6060", func(r *Reader) any { return r.Address("X", "") }, "localhost:6060", ""},
		{"every address", ":6060", func(r *Reader) any { return r.Address("X", "") }, ":6060", ""},
		{"no address", "", func(r *Reader) any { return r.Address("X", "") }, "", ""},
		{"an address without port", "localhost", func(r *Reader) any { return r.Address("X", "") }, "", `"localhost" is not an address, for example :6060 or localhost:6060`},
		{"a port alone", "6060", func(r *Reader) any { return r.Address("X", "") }, "", `"6060" is not an address, for example :6060 or localhost:6060`},
		{"an address with a port that is too large", ":65536", func(r *Reader) any { return r.Address("X", "") }, "", `":65536" is not an address, for example :6060 or localhost:6060`},
		{"a flag", "T", func(r *Reader) any { return r.Flag("X", "false", "") }, true, ""},
		{"no flag", "on", func(r *Reader) any { return r.Flag("X", "true", "") }, false, `"on" is neither true nor false`},
		{"a number", "12", func(r *Reader) any { return r.Number("X", "1", "") }, 12, ""},
		{"a number that is too large", "2147483648", func(r *Reader) any { return r.Number("X", "1", "") }, 0, `"2147483648" is not a whole number of 0 or more`},
		{"bytes", "4294967296", func(r *Reader) any { return r.Bytes("X", "1", "") }, int64(1 << 32), ""},
		{"bytes with a unit", "1Gi", func(r *Reader) any { return r.Bytes("X", "1", "") }, int64(0), `"1Gi" is not a number of bytes, for example 16777216`},
		{"off", "0s", func(r *Reader) any { return r.Duration("X", "1s", "") }, time.Duration(0), ""},
		{"a negative duration", "-1s", func(r *Reader) any { return r.Duration("X", "1s", "") }, time.Duration(0), `"-1s" is negative`},
		{"a duration without unit", "30", func(r *Reader) any { return r.Duration("X", "1s", "") }, time.Duration(0), `"30" is not a duration, for example 30s or 5m`},
		{"a period of 0", "0s", func(r *Reader) any { return r.Period("X", "1s", "") }, time.Duration(0), `"0s" is not above 0`},
		{"a period without unit", "30", func(r *Reader) any { return r.Period("X", "1s", "") }, time.Duration(0), `"30" is not a duration, for example 500ms or 15s`},
		{"milliseconds", "200", func(r *Reader) any { return r.Milliseconds("X", "1", "") }, 200 * time.Millisecond, ""},
		{"milliseconds with a unit", "200ms", func(r *Reader) any { return r.Milliseconds("X", "1", "") }, time.Duration(0), `"200ms" is not a number of milliseconds above 0`},
		{"a word", "b", func(r *Reader) any { return r.OneOf([]string{"a", "b"}, "X", "a", "") }, "b", ""},
		{"another word", "c", func(r *Reader) any { return r.OneOf([]string{"a", "b"}, "X", "a", "") }, "", `"c" is not one of a, b`},
		{"a list", " a, ,b,", func(r *Reader) any { return r.List("X", "") }, []string{"a", "b"}, ""},
		{"no list", "", func(r *Reader) any { return r.List("X", "") }, []string(nil), ""},
	} {
		r := NewReader(of("X", test.value))
		got := test.read(r)
		failure := ""
		if err := r.Err(); err != nil {
			failure = strings.TrimPrefix(err.Error(), "reading the environment:\nX: ")
		}
		if !cmp.Equal(got, test.want) || failure != test.failure {
			t.Errorf("%s: got %v (%s), want %v (%s)", test.reason, got, failure, test.want, test.failure)
		}
	}
}

func TestEverythingThatIsWrongIsSaid(t *testing.T) {
	r := NewReader(of("A", "x", "C", "ok,bad,worse"))
	r.Flag("A", "false", "")
	r.Text("B", "", "", Required("b"))
	ParseList(r, Variable{Name: "C"}, func(item string) (string, error) {
		if item != "ok" {
			return "", fmt.Errorf("%q is bad", item)
		}
		return item, nil
	})
	r.Fail("A", "does not go with %s", "B")
	want := `reading the environment:
A: "x" is neither true nor false
B: must be set, for example to b
C: "bad" is bad; "worse" is bad
A: does not go with B`
	if err := r.Err(); err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestNamespaceIsOne(t *testing.T) {
	for value, wrong := range map[string]bool{"": false, "apps": false, "team-1": false, "t1,t4": true, "t1 t4": true, "*": true, "Apps": true, strings.Repeat("a", 64): true} {
		r := NewReader(func(string) (string, bool) { return value, true })
		if got := r.Namespace("WATCH", ""); (r.Err() != nil) != wrong || !wrong && got != value {
			t.Errorf("%q: got %q and %v", value, got, r.Err())
		}
	}
}

func TestOldNames(t *testing.T) {
	for _, test := range []struct {
		reason  string
		lookup  Lookup
		option  Option
		want    string
		warning []string
	}{
		{"the new one alone", of("NEW", "n"), Deprecated("OLD"), "n", nil},
		{"neither", of(), Deprecated("OLD"), "d", nil},
		{"the old one is set to nothing", of("NEW", "n", "OLD", " "), DeprecatedWins("OLD"), "n", nil},
		{"the old one alone", of("OLD", "o"), Deprecated("OLD"), "o", []string{"OLD is deprecated; use NEW"}},
		{"both", of("NEW", "n", "OLD", "o"), Deprecated("OLD"), "n", []string{"OLD is deprecated and ignored, as NEW is set"}},
		{"both, and the old one wins", of("NEW", "n", "OLD", "o"), DeprecatedWins("OLD"), "o", []string{"OLD is deprecated; it is set and wins over NEW"}},
	} {
		r := NewReader(test.lookup)
		if got := r.Text("NEW", "d", "", test.option); got != test.want || !cmp.Equal(r.Warnings(), test.warning) {
			t.Errorf("%s: got %q, %q; want %q, %q", test.reason, got, r.Warnings(), test.want, test.warning)
		}
	}
}

func TestAnErrorNamesTheVariableThatIsSet(t *testing.T) {
	r := NewReader(of("OLD", "soon"))
	r.Duration("NEW", "1s", "", Deprecated("OLD"))
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "\nOLD: ") {
		t.Errorf("got %v", err)
	}
}

func TestVariablesAreListedWhateverIsSet(t *testing.T) {
	want := []Variable{
		{Name: "A", Type: "text", Description: "About A.", Required: true},
		{Name: "B", Default: "5s", Type: "duration", Description: "About B."},
		{Name: "OLD", Default: "5s", Type: "duration", DeprecatedNameOf: "B", Description: "Deprecated name of B; read when that is not set."},
		{Name: "C", Default: "x", Type: "x, y", Description: "About C."},
		{Name: "OLDER", Default: "x", Type: "x, y", DeprecatedNameOf: "C", Description: "Deprecated name of C; wins over it when both are set."},
	}
	for _, lookup := range []Lookup{None, of("A", "a", "OLD", "nonsense", "C", "nonsense")} {
		r := NewReader(lookup)
		r.Text("A", "", "About A.", Required("a"))
		r.Duration("B", "5s", "About B.", Deprecated("OLD"))
		r.OneOf([]string{"x", "y"}, "C", "x", "About C.", DeprecatedWins("OLDER"))
		if diff := cmp.Diff(want, r.Variables()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

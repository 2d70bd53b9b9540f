package stream

import (
	"strings"
	"testing"
	"time"
)

func TestCompile(t *testing.T) {
	none, long := "", strings.Repeat("é", maxSeparator+1)
	for _, c := range []struct {
		reason string
		spec   Options
		ok     bool
	}{
		{"a message is enough", Options{Message: "m"}, true},
		{"a message is needed", Options{}, false},
		{"but not to show nothing", Options{Display: DisplayNone}, true},
		{"the shortest interval", Options{Message: "m", Interval: 100 * time.Millisecond}, true},
		{"an interval that is too short", Options{Message: "m", Interval: 99 * time.Millisecond}, false},
		{"a negative interval", Options{Message: "m", Interval: -1}, false},
		{"a negative delay", Options{Message: "m", InitialDelay: -1}, false},
		{"an unknown display", Options{Message: "m", Display: "Loud"}, false},
		{"the longest texts", Options{Message: strings.Repeat("é", maxText), KeepaliveMessage: strings.Repeat("é", maxText)}, true},
		{"a message that is too long", Options{Message: strings.Repeat("{estimate}", 100_000)}, false},
		{"a keepalive that is too long", Options{Message: "m", KeepaliveMessage: strings.Repeat("{elapsed}", 100_000)}, false},
		{"a separator that is too long", Options{Message: "m", Separator: &long}, false},
		{"no separator", Options{Message: "m", Separator: &none}, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if _, err := Compile(c.spec); (err == nil) != c.ok {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestCompileDefaults(t *testing.T) {
	c, err := Compile(Options{Message: "m", InitialDelay: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if c.interval != 5*time.Second || string(c.separator) != `"\n\n---\n\n"` || c.display != DisplayContent {
		t.Errorf("defaults: %+v", c)
	}
	if c.InitialDelay() != time.Second {
		t.Errorf("initial delay: %v", c.InitialDelay())
	}
}

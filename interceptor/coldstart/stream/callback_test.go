package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

func TestCompile(t *testing.T) {
	none, long := "", strings.Repeat("é", maxSeparator+1)
	for _, c := range []struct {
		reason string
		spec   v1beta1.StreamingCallbackSpec
		ok     bool
	}{
		{"a message is enough", v1beta1.StreamingCallbackSpec{Message: "m"}, true},
		{"a message is needed", v1beta1.StreamingCallbackSpec{}, false},
		{"but not to show nothing", v1beta1.StreamingCallbackSpec{Display: v1beta1.StreamingDisplayNone}, true},
		{"the shortest interval", v1beta1.StreamingCallbackSpec{Message: "m", Interval: duration(100 * time.Millisecond)}, true},
		{"an interval that is too short", v1beta1.StreamingCallbackSpec{Message: "m", Interval: duration(99 * time.Millisecond)}, false},
		{"a negative interval", v1beta1.StreamingCallbackSpec{Message: "m", Interval: duration(-1)}, false},
		{"a negative delay", v1beta1.StreamingCallbackSpec{Message: "m", InitialDelay: duration(-1)}, false},
		{"a display that is none", v1beta1.StreamingCallbackSpec{Message: "m", Display: "Loud"}, false},
		{"the longest texts", v1beta1.StreamingCallbackSpec{Message: strings.Repeat("é", maxText), KeepaliveMessage: strings.Repeat("é", maxText)}, true},
		{"a message that is too long", v1beta1.StreamingCallbackSpec{Message: strings.Repeat("{estimate}", 100_000)}, false},
		{"a keepalive that is too long", v1beta1.StreamingCallbackSpec{Message: "m", KeepaliveMessage: strings.Repeat("{elapsed}", 100_000)}, false},
		{"a separator that is too long", v1beta1.StreamingCallbackSpec{Message: "m", Separator: &long}, false},
		{"no separator", v1beta1.StreamingCallbackSpec{Message: "m", Separator: &none}, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if _, err := Compile(&c.spec); (err == nil) != c.ok {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestCompileDefaults(t *testing.T) {
	c, err := Compile(&v1beta1.StreamingCallbackSpec{Message: "m", InitialDelay: duration(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if c.interval != 5*time.Second || string(c.separator) != `"\n\n---\n\n"` || c.display != v1beta1.StreamingDisplayContent {
		t.Errorf("defaults: %+v", c)
	}
	if c.InitialDelay() != time.Second {
		t.Errorf("initial delay: %v", c.InitialDelay())
	}
}

package environment

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariablesThatNothingReads(t *testing.T) {
	for _, test := range []struct {
		reason  string
		environ []string
		want    []string
	}{
		{"all is read", []string{"APP_PROXY_PORT=1", "APP_OLD_TIMEOUT=2s", "HOME=/", "PATH"}, nil},
		{"letters in the wrong order", []string{"APP_PROXY_PROT=1"}, []string{"APP_PROXY_PROT is not read: there is no such setting; the closest is APP_PROXY_PORT"}},
		{"a letter is missing", []string{"APP_READINES_TIMEOUT=1s"}, []string{"APP_READINES_TIMEOUT is not read: there is no such setting; the closest is APP_READINESS_TIMEOUT"}},
		{"a word is missing", []string{"APP_COLD_START_LEASE=1s"}, []string{"APP_COLD_START_LEASE is not read: there is no such setting; the closest is APP_COLD_START_ACTIVATION_LEASE"}},
		{"a letter in small", []string{"APP_PROXY_PORt=1"}, []string{"APP_PROXY_PORt is not read: there is no such setting; the closest is APP_PROXY_PORT"}},
		{"like an old name", []string{"APP_OLD_TIMEOUTS=1"}, []string{"APP_OLD_TIMEOUTS is not read: there is no such setting; the closest is APP_OLD_TIMEOUT"}},
		{"like none", []string{"APP_QUITE_ANOTHER_THING=1"}, []string{"APP_QUITE_ANOTHER_THING is not read: there is no such setting"}},
		{"several", []string{"APP_Z=1", "APP_PROXY_PORTS=1"}, []string{
			"APP_PROXY_PORTS is not read: there is no such setting; the closest is APP_PROXY_PORT", "APP_Z is not read: there is no such setting",
		}},
		{"set to nothing", []string{"APP_PROXY_PROT=", "APP_X= "}, nil},
		{"of another program", []string{"APPLE=1", "OTHER_PROXY_PORT=1", "APP=1", "LIBRARY_EXPORT_TIMEOUT=1", "OTHERS=1", "SHOR=1"}, nil},
		{"a library's, a letter is missing", []string{"LIBRARY_EXPORTER_ENABLE=1"}, []string{"LIBRARY_EXPORTER_ENABLE is not read: there is no such setting; the closest is LIBRARY_EXPORTER_ENABLED"}},
		{"an old name without the prefix", []string{"CONDITION_WAIT_TIMOUT=1s"}, []string{"CONDITION_WAIT_TIMOUT is not read: there is no such setting; the closest is CONDITION_WAIT_TIMEOUT"}},
		{"another prefix", []string{"OLD_APP_X=1"}, []string{"OLD_APP_X is not read: there is no such setting"}},
		{"a misspelled prefix", []string{"AP_COLD_START_ACTIVATION_LEASE=1"}, []string{
			"AP_COLD_START_ACTIVATION_LEASE is not read: there is no such setting; the closest is APP_COLD_START_ACTIVATION_LEASE",
		}},
		{"of a Service named app-web", []string{
			"APP_WEB_SERVICE_HOST=10.0.0.1", "APP_WEB_SERVICE_PORT=80", "APP_WEB_SERVICE_PORT_HTTP=80", "APP_WEB_PORT=tcp://10.0.0.1:80",
			"APP_WEB_PORT_80_TCP_ADDR=10.0.0.1", "APP_WEB_TIMEOUT=1s",
		}, []string{"APP_WEB_TIMEOUT is not read: there is no such setting; the closest is APP_OLD_TIMEOUT"}},
	} {
		r := NewReader(None)
		r.Text("APP_PROXY_PORT", "", "")
		r.Text("APP_READINESS_TIMEOUT", "", "", Deprecated("APP_OLD_TIMEOUT"))
		r.Text("APP_COLD_START_ACTIVATION_LEASE", "", "")
		r.Text("OTHER", "", "")
		r.Text("SHORT", "", "")
		r.Text("LIBRARY_EXPORTER_ENABLED", "", "")
		r.Text("WAIT", "", "", Deprecated("CONDITION_WAIT_TIMEOUT"))
		r.Unread(test.environ, "APP_", "OLD_APP_")
		if diff := cmp.Diff(test.want, r.Warnings()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.reason, diff)
		}
		if r.Err() != nil {
			t.Errorf("%s: %v", test.reason, r.Err())
		}
	}
}

// Why a variable is not set is often that its name is misspelled.
func TestAnErrorHasWhatIsNotRead(t *testing.T) {
	r := NewReader(None)
	r.Text("APP_PROXY_PORT", "", "", Required("8080"))
	r.Unread([]string{"APP_PROXY_PROT=8080"}, "APP_")
	want := "reading the environment:\nAPP_PROXY_PORT: must be set, for example to 8080\nAPP_PROXY_PROT is not read: there is no such setting; the closest is APP_PROXY_PORT"
	if err := r.Err(); err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"PROT", "PORT", 2}, {"a", strings.Repeat("a", 9), 8}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d changes, want %d", test.a, test.b, got, test.want)
		}
	}
}

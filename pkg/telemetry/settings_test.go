package telemetry

import (
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/pkg/environment"
)

// Platforms set the standard variables for all pods of a cluster. A value for a signal that we do
// not send must not keep a process from starting.
func TestOnlyTheProtocolThatIsUsedIsChecked(t *testing.T) {
	for _, test := range []struct {
		reason   string
		settings map[string]string
		metrics  string
		failure  string // the variable that is wrong
	}{
		{"nothing is sent", map[string]string{EnvProtocol: "http/json", EnvMetricsProtocol: "http/json", EnvTracesProtocol: "http/json"}, "http/json", ""},
		{"metrics by a protocol of their own", map[string]string{EnvOTLPMetricsEnabled: "true", EnvProtocol: "http/json", EnvMetricsProtocol: ProtocolGRPC}, ProtocolGRPC, ""},
		{"metrics by the protocol of all", map[string]string{EnvOTLPMetricsEnabled: "true", EnvProtocol: ProtocolGRPC}, ProtocolGRPC, ""},
		{"metrics by the default", map[string]string{EnvOTLPMetricsEnabled: "true"}, ProtocolHTTP, ""},
		{"metrics by one that we cannot speak", map[string]string{EnvOTLPMetricsEnabled: "true", EnvMetricsProtocol: "console"}, "console", EnvMetricsProtocol},
		{"all by one that we cannot speak", map[string]string{EnvOTLPMetricsEnabled: "true", EnvProtocol: "http/json"}, "http/json", EnvProtocol},
		{"traces by one that we cannot speak", map[string]string{EnvTracesEnabled: "true", EnvTracesProtocol: "http/json"}, ProtocolHTTP, EnvTracesProtocol},
	} {
		r := environment.NewReader(func(name string) (string, bool) { v, ok := test.settings[name]; return v, ok })
		if got := ReadSettings(r, "component").MetricsProtocol; got != test.metrics {
			t.Errorf("%s: metrics by %q, want %q", test.reason, got, test.metrics)
		}
		switch err := r.Err(); {
		case test.failure == "" && err != nil:
			t.Errorf("%s: %v", test.reason, err)
		case test.failure != "" && (err == nil || !strings.Contains(err.Error(), "\n"+test.failure+": ")):
			t.Errorf("%s: %v, want a failure of %s", test.reason, err, test.failure)
		}
	}
}

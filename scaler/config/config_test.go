package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

// env returns an environment with the required variables and more (name, value, …).
func env(more ...string) func(string) (string, bool) {
	return settings.Lookup(append([]string{
		EnvTargetNamespace, "keda", EnvTargetService, "admin", EnvTargetDeployment, "interceptor", EnvTargetPort, "9090",
	}, more...)...)
}

func TestNamesAndDefaultsAreFrozen(t *testing.T) {
	settings.Frozen(t, "environment.golden", Variables())
}

func TestEveryVariableIsDescribed(t *testing.T) { settings.Described(t, Variables()) }

func TestDefaults(t *testing.T) {
	got, err := Load(env())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Port:         8080,
		Target:       Target{Namespace: "keda", Service: "admin", Deployment: "interceptor", Port: 9090},
		ResyncPeriod: time.Hour, QueueTick: 500 * time.Millisecond, StreamInterval: 200 * time.Millisecond, ShutdownDelay: 3 * time.Second,
		Telemetry: telemetry.Settings{Component: serviceName, Prometheus: true, PrometheusPort: 2223, MetricsProtocol: "http/protobuf", TracesProtocol: "console"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The interceptor accepts the same value for the same variable.
func TestTheResyncCanBeOff(t *testing.T) {
	if c, err := Load(env(EnvResyncPeriod, "0s")); err != nil || c.ResyncPeriod != 0 {
		t.Errorf("got %v, %v", c.ResyncPeriod, err)
	}
}

func TestFetchesAreBoundedByTheTickButNotTooTightly(t *testing.T) {
	for tick, want := range map[string]time.Duration{"10ms": 250 * time.Millisecond, "2s": 2 * time.Second} {
		c, err := Load(env(EnvQueueTick, tick))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.FetchTimeout(); got != want {
			t.Errorf("tick %s: %v, want %v", tick, got, want)
		}
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, err := Load(func(name string) (string, bool) {
		v, ok := map[string]string{
			EnvTargetNamespace: " ", EnvTargetPort: "admin", EnvQueueTick: "0s", EnvStreamInterval: "200ms",
			telemetry.EnvPrometheusEnabled: "yes", telemetry.EnvTracesEnabled: "true", telemetry.EnvTracesProtocol: "carrier pigeon", EnvResyncPeriod: "1 hour",
		}[name]
		return v, ok
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		EnvTargetNamespace, EnvTargetService, EnvTargetDeployment, EnvTargetPort, EnvQueueTick, EnvStreamInterval,
		telemetry.EnvPrometheusEnabled, telemetry.EnvTracesProtocol, EnvResyncPeriod,
	} {
		if !strings.Contains(err.Error(), "\n"+name+": ") {
			t.Errorf("no warning names %s:\n%v", name, err)
		}
	}
}

func TestTwoServersCannotShareAPort(t *testing.T) {
	if _, err := Load(env(EnvPort, "2223")); err == nil || !strings.Contains(err.Error(), telemetry.EnvPrometheusPort) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(env(EnvPort, "2223", telemetry.EnvPrometheusEnabled, "false")); err != nil {
		t.Error(err)
	}
}

func TestStreamsFollowTheMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		reason string
		set    int
		memory int64
		want   int
	}{
		{"nine tenths of 64Mi", 0, 60_397_977, 2457},
		{"a setting wins", 10, 60_397_977, 10},
		{"never none", 0, 1, 1},
		{"no limit", 0, math.MaxInt64, math.MaxInt32},
	} {
		if got := (&Config{MaxStreams: test.set}).Streams(test.memory); got != test.want {
			t.Errorf("%s: %d, want %d", test.reason, got, test.want)
		}
	}
}

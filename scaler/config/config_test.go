package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// env is an environment with the required variables and more (name, value, …).
func env(more ...string) func(string) (string, bool) {
	settings := map[string]string{
		EnvTargetNamespace: "keda", EnvTargetService: "admin", EnvTargetDeployment: "interceptor", EnvTargetPort: "9090",
	}
	for i := 0; i+1 < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	return func(name string) (string, bool) { v, ok := settings[name]; return v, ok }
}

// The names and defaults are a contract with manifests that exist. A new
// variable gets a new line; a line that changes or goes breaks somebody.
func TestNamesAndDefaultsAreFrozen(t *testing.T) {
	var lines []string
	for _, v := range Variables() {
		value := v.Default
		switch {
		case v.DeprecatedNameOf != "":
			value = "(deprecated name of " + v.DeprecatedNameOf + ")"
		case v.Required:
			value = "(required)"
		}
		lines = append(lines, v.Name+"="+value)
	}
	slices.Sort(lines)
	want, err := os.ReadFile(filepath.Join("testdata", "environment.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), lines); diff != "" {
		t.Errorf("the environment has changed (-frozen +now):\n%s", diff)
	}
}

// The reference page is made of these lines.
func TestEveryVariableIsDescribed(t *testing.T) {
	for _, v := range Variables() {
		if v.Type == "" || !strings.HasSuffix(v.Description, ".") || strings.Contains(v.Description, "\n") {
			t.Errorf("%s: type %q, description %q", v.Name, v.Type, v.Description)
		}
	}
}

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

// The interceptor takes the same value for the same variable.
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
			t.Errorf("nothing is said of %s:\n%v", name, err)
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

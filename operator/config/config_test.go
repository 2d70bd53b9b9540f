package config

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

// env is an environment with the required variables and more (name, value, …).
func env(more ...string) func(string) (string, bool) {
	return settings.Lookup(append([]string{EnvScalerService, "scaler"}, more...)...)
}

func TestNamesAndDefaultsAreFrozen(t *testing.T) {
	var lines []string
	flags := flag.NewFlagSet("operator", flag.ContinueOnError)
	new(Flags).Bind(flags)
	flags.VisitAll(func(f *flag.Flag) { lines = append(lines, fmt.Sprintf("--%s=%s", f.Name, f.DefValue)) })
	settings.Frozen(t, "settings.golden", Variables(), lines...)
}

func TestEveryVariableIsDescribed(t *testing.T) { settings.Described(t, Variables()) }

func TestDefaults(t *testing.T) {
	got, err := Load(env())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ScalerService: "scaler", ScalerPort: 8091, WakePhases: true,
		Routes:         route.Settings{Limits: route.Limits{PerObject: 4096, PerNamespace: 65_536}},
		LeaderElection: LeaderElection{LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if address := got.ScalerAddress("keda"); address != "scaler.keda:8091" {
		t.Errorf("scaler address %q", address)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	got, err := Load(env(EnvScalerService, " a ", EnvScalerPort, "9090", EnvNamespace, "keda", EnvWatchNamespace, "apps",
		EnvLeaseDuration, "1m", EnvRenewDeadline, "40s", EnvRetryPeriod, "5s", route.EnvMaxMatchesPerObject, "9",
		route.EnvMaxMatchesPerNamespace, "0", route.EnvConfigMaps, "false", route.EnvConfigMapNamespaces, "web", EnvWakePhases, "false"))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ScalerService: "a", ScalerPort: 9090, Namespace: "keda", WatchNamespace: "apps",
		Routes:         route.Settings{Limits: route.Limits{PerObject: 9}, ConfigMaps: route.ConfigMaps{Off: true, Namespaces: []string{"web"}}},
		LeaderElection: LeaderElection{LeaseDuration: time.Minute, RenewDeadline: 40 * time.Second, RetryPeriod: 5 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOldSpelling(t *testing.T) {
	got, err := Load(env(EnvScalerService, "", "KEDAHTTP_OPERATOR_EXTERNAL_SCALER_SERVICE", "old",
		"KEDAHTTP_OPERATOR_EXTERNAL_SCALER_PORT", "1", EnvScalerPort, "2"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"KEDAHTTP_OPERATOR_EXTERNAL_SCALER_SERVICE is deprecated; use KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_SERVICE",
		"KEDAHTTP_OPERATOR_EXTERNAL_SCALER_PORT is deprecated and ignored, as KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_PORT is set",
	}
	if got.ScalerService != "old" || got.ScalerPort != 2 || !slices.Equal(got.Warnings, want) {
		t.Errorf("got %+v, want the old service with a warning, and the new port", got)
	}
}

func TestAllErrorsAtOnceInWordsForPeople(t *testing.T) {
	_, err := Load(env(EnvScalerService, "", EnvScalerPort, "0", EnvLeaseDuration, "15", EnvRenewDeadline, "2s", EnvRetryPeriod, "-1s"))
	want := `reading the environment:
KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_SERVICE: must be set, for example to keda-add-ons-http-external-scaler
KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_PORT: "0" is not a port (1 to 65535)
KEDA_HTTP_OPERATOR_LEADER_ELECTION_LEASE_DURATION: "15" is not a duration, for example 500ms or 15s
KEDA_HTTP_OPERATOR_LEADER_ELECTION_RETRY_PERIOD: "-1s" is not above 0
KEDA_HTTP_OPERATOR_LEADER_ELECTION_LEASE_DURATION: must be above KEDA_HTTP_OPERATOR_LEADER_ELECTION_RENEW_DEADLINE`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

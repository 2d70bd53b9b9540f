// Package config reads the environment and the flags of the operator: every setting, its default
// and its errors. It must not know how the settings are used, and it reads only what its caller
// passes in.
package config

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/pkg/environment"
	"github.com/kedacore/http-add-on/pkg/route"
)

// The names are a frozen contract (0.16): people set them by hand, by the chart's
// extraEnvs and by scripts.
const (
	EnvScalerService  = "KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_SERVICE"
	EnvScalerPort     = "KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_PORT"
	EnvNamespace      = "KEDA_HTTP_OPERATOR_NAMESPACE"
	EnvWatchNamespace = "KEDA_HTTP_OPERATOR_WATCH_NAMESPACE"
	EnvLeaseDuration  = "KEDA_HTTP_OPERATOR_LEADER_ELECTION_LEASE_DURATION"
	EnvRenewDeadline  = "KEDA_HTTP_OPERATOR_LEADER_ELECTION_RENEW_DEADLINE"
	EnvRetryPeriod    = "KEDA_HTTP_OPERATOR_LEADER_ELECTION_RETRY_PERIOD"
)

// EnvWakePhases is ours.
const EnvWakePhases = "KEDA_HTTP_OPERATOR_WAKE_PHASES_ENABLED"

// Config is the settings of one operator, every default applied.
type Config struct {
	// ScalerService and ScalerPort are where KEDA finds the scaler, which is in
	// the operator's namespace.
	ScalerService string
	ScalerPort    int
	// Namespace is the operator's own; empty is that of its pod.
	Namespace string
	// WatchNamespace limits the operator to one namespace; empty is all.
	WatchNamespace string
	// Routes is what holds for all routes, as the interceptors must know it.
	Routes route.Settings
	// WakePhases reports how far wakes are, which takes a look at pods.
	WakePhases bool
	// LeaderElection among the replicas of the operator.
	LeaderElection LeaderElection
	// Flags of the command line.
	Flags Flags

	// Warnings are for the log: deprecated names in use, names that nothing reads.
	Warnings []string
}

// LeaderElection is how the replicas agree on one that works.
type LeaderElection struct {
	// LeaseDuration is after how long without a sign of life another may lead.
	LeaseDuration time.Duration
	// RenewDeadline is after how long without success the leader gives up.
	RenewDeadline time.Duration
	// RetryPeriod is the time between two attempts.
	RetryPeriod time.Duration
}

// ScalerAddress is where KEDA finds the scaler of an operator in a namespace.
func (c *Config) ScalerAddress(namespace string) string {
	return net.JoinHostPort(c.ScalerService+"."+namespace, strconv.Itoa(c.ScalerPort))
}

// Load reads the environment through lookup: os.LookupEnv, or a map in tests. The error lists all
// invalid values, one per line. environ lists the variables that are set, as os.Environ does.
// Load warns of those names in it that nothing reads.
func Load(lookup environment.Lookup, environ ...string) (Config, error) {
	r := environment.NewReader(lookup)
	c := read(r)
	r.Unread(environ, environment.Prefix, environment.OldPrefix)
	c.Warnings = r.Warnings()
	// Client-go refuses others, in words that name no variable.
	if l := c.LeaderElection; l.LeaseDuration <= l.RenewDeadline {
		r.Fail(EnvLeaseDuration, "must be above %s", EnvRenewDeadline)
	} else if l.RenewDeadline <= l.RetryPeriod+l.RetryPeriod/5 {
		r.Fail(EnvRenewDeadline, "must be above 1.2 times %s", EnvRetryPeriod)
	}
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Variables lists every variable with its default and what it is for.
func Variables() []environment.Variable {
	r := environment.NewReader(environment.None)
	read(r)
	return r.Variables()
}

// read is the table of variables: their defaults, and what the reference page
// says of them.
func read(r *environment.Reader) Config {
	return Config{
		ScalerService: r.Text(EnvScalerService, "", "Service of the external scaler, in the operator's namespace; ScaledObjects name it.",
			environment.Required("keda-add-ons-http-external-scaler"), spelledOld(EnvScalerService)),
		ScalerPort:     r.Port(EnvScalerPort, "8091", "Port of that Service; the chart sets 9090.", spelledOld(EnvScalerPort)),
		Namespace:      r.Text(EnvNamespace, "", "The operator's own namespace; empty means that of its pod.", spelledOld(EnvNamespace)),
		WatchNamespace: r.Namespace(EnvWatchNamespace, "The only namespace whose routes are reconciled; empty means all.", spelledOld(EnvWatchNamespace)),
		Routes:         route.ReadSettings(r),
		WakePhases:     r.Flag(EnvWakePhases, "true", "Write the phases of wakes into status.wake; false needs no right to pods and events."),
		LeaderElection: LeaderElection{
			LeaseDuration: r.Period(EnvLeaseDuration, "15s", "How long another replica waits for a sign of life of the leader before it takes over; with --leader-elect.", spelledOld(EnvLeaseDuration)),
			RenewDeadline: r.Period(EnvRenewDeadline, "10s", "How long the leader tries to renew its lease before it gives up; less than the lease.", spelledOld(EnvRenewDeadline)),
			RetryPeriod:   r.Period(EnvRetryPeriod, "2s", "Time between two attempts to get or renew the lease.", spelledOld(EnvRetryPeriod)),
		},
	}
}

// spelledOld is the name that a variable had when all began with KEDAHTTP.
func spelledOld(name string) environment.Option {
	return environment.Deprecated("KEDAHTTP_" + strings.TrimPrefix(name, "KEDA_HTTP_"))
}

// Package config is the environment and the flags of the operator: every setting
// that it has, its default, and what is wrong with a value. It must not know what
// the settings are used for, and it reads nothing but what it is given.
package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
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
	// LeaderElection among the replicas of the operator.
	LeaderElection LeaderElection
	// Flags of the command line.
	Flags Flags

	// Warnings are for the log: deprecated names in use.
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

// Load reads the environment through lookup, which is os.LookupEnv or a map of
// a test. A variable that is set to nothing counts as not set, as charts write
// values that nobody filled in. The error says all that is wrong, a line each.
func Load(lookup func(name string) (value string, ok bool)) (Config, error) {
	e := &environment{lookup: lookup}
	c := read(e)
	c.Warnings = e.warnings
	// Client-go refuses others, in words that name no variable.
	if l := c.LeaderElection; l.LeaseDuration <= l.RenewDeadline {
		e.fail(EnvLeaseDuration, "must be above %s", EnvRenewDeadline)
	} else if l.RenewDeadline <= l.RetryPeriod+l.RetryPeriod/5 {
		e.fail(EnvRenewDeadline, "must be above 1.2 times %s", EnvRetryPeriod)
	}
	if len(e.errors) > 0 {
		return Config{}, fmt.Errorf("reading the environment:\n%w", errors.Join(e.errors...))
	}
	return c, nil
}

// read is the table of variables and their defaults.
func read(e *environment) Config {
	return Config{
		ScalerService:  e.word(EnvScalerService, "keda-add-ons-http-external-scaler"),
		ScalerPort:     e.port(EnvScalerPort, "8091"),
		Namespace:      e.text(EnvNamespace, ""),
		WatchNamespace: e.text(EnvWatchNamespace, ""),
		LeaderElection: LeaderElection{
			LeaseDuration: e.duration(EnvLeaseDuration, "15s"),
			RenewDeadline: e.duration(EnvRenewDeadline, "10s"),
			RetryPeriod:   e.duration(EnvRetryPeriod, "2s"),
		},
	}
}

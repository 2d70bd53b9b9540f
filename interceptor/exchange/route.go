package exchange

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/session"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// Route is a route as the request path needs it: compiled once when something
// changes, immutable, every default applied, every reference a handle.
type Route struct {
	// Namespace and Name of the object that the route was made from.
	Namespace, Name string
	// Target is where requests go.
	Target *Target
	// Fallback answers when the target did not become ready in time; nil means no fallback.
	Fallback *Target
	// Static routes in order; the first match wins.
	Static []StaticRoute
	// InFlight counts the requests of this route and holds its activation lease.
	InFlight *inflight.Route

	// Reported is what the cluster reports of the target's wakes; nil is nothing ever.
	Reported *Reported

	// Readiness bounds the wait for an endpoint, ResponseHeader the wait for the upstream's
	// header. Request bounds everything from the arrival to the last byte of the response,
	// upgraded connections included. 0 means no bound.
	Readiness, Request, ResponseHeader time.Duration

	// Session is how the route keeps sessions; nil is not at all.
	Session *session.Rule

	// Placeholder is answered at once while cold; nil means no placeholder.
	Placeholder *StaticResponse
	// MaxPending caps held requests on this replica; 0 means no cap. CapOwn means that the route
	// set it, not the global default: only then a placeholder with OverflowPlaceholder holds up
	// to the cap.
	MaxPending int
	// CapOwn is true when MaxPending is the route's own.
	CapOwn bool
	// OverflowPlaceholder gives the overflow the placeholder, else 503.
	OverflowPlaceholder bool
	// ReleaseConcurrency caps the requests in flight per endpoint while held requests are
	// released; 0 means no cap.
	ReleaseConcurrency int
	// Callback keeps streaming clients on the line; nil means no callback.
	Callback *stream.Callback
	// Page is the waiting page for browsers; nil means no page.
	Page *page.Page
	// FailEarly ends the wait for a wake that is reported as failed.
	FailEarly bool
	// Lease is how long a cold hit asks for the target.
	Lease time.Duration
	// WarmUps are the times at which the target is kept awake.
	WarmUps []*route.WarmUp
	// Needs are the routes that are woken along with this one.
	Needs []routing.Key

	// Replacement notifies waiting requests when a newly compiled route replaces this one.
	Replacement *Replacement
	// Series is where package metrics keeps the attribute sets of this route, so that
	// recording a request allocates nothing.
	Series Series
}

// Series is a cache of attribute sets, and how many there are.
type Series struct {
	sync.Map
	Count atomic.Int32
}

// Protocol is what an upstream speaks on a plain connection.
type Protocol uint8

const (
	// HTTP1 is HTTP/1.1.
	HTTP1 Protocol = iota
	// H2C is HTTP/2 with prior knowledge (appProtocol kubernetes.io/h2c).
	H2C
)

// Target is one port of a Service.
type Target struct {
	// Namespace and Service that the spec names.
	Namespace, Service string
	// Endpoints of that port. Never nil; if the port is unknown, they never become ready.
	Endpoints *endpoints.Port
	// Address is "service.namespace:port", which is dialled when no pod address is.
	Address string
	// ServerName is "service.namespace", the SNI of TLS connections.
	ServerName string
	// Protocol on plain connections.
	Protocol Protocol
	// Plain means that connections are plain however the client came.
	Plain bool
	// Problem says why the target cannot be resolved (no such Service, no such port); empty if it
	// can. For the log and conditions, not for clients.
	Problem string
}

// StaticRoute answers matching requests without waking the target.
type StaticRoute struct {
	// Name of the static route, or its place, for metrics.
	Name string
	// Rules of which one must match.
	Rules routing.Matcher
	// Response to give.
	Response *StaticResponse
	// Always answers even while an endpoint is ready.
	Always bool
}

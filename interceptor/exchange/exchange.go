// Package exchange is what one request carries through the interceptor. That is the route it
// matched, the upstream it goes to, the facts of its cold start, and the handler type of the
// steps. It must know neither Kubernetes nor the order of the steps.
package exchange

import (
	"net/http"
	"net/url"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/session"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// Exchange is one request and what the steps have found out about it. It is
// owned by the goroutine that serves the request.
type Exchange struct {
	// Start is when the request arrived.
	Start time.Time
	// Trace of the request; nil while traces are off.
	Trace *tracing.Trace
	// Route that the request matched; nil before the routing step and for
	// requests that match none.
	Route *Route
	// TLS says that the request came in by the TLS listener.
	TLS bool
	// Cold says that the target slept when the request arrived, or since.
	Cold bool
	// Awake says of a request that waits that the target is awake and takes no more
	// for now: it waits for its turn.
	Awake bool
	// Waited says that the request was charged to the budget of those that wait.
	Waited bool
	// Upstream that the request is forwarded to; set by the endpoint resolver.
	Upstream Upstream
	// Session of the request; nil if its route keeps none.
	Session *session.Session
	// Head is how much memory the head of the request takes, in bytes.
	Head int
	// Heads is charged with Head while the request is in service, and not while it waits. Waiting
	// requests must not take the room of others. Nil means a small head.
	Heads *body.Budget
	// Body of the request; nil if it has none.
	Body *body.Body
	// Committed is a client whose response is committed, so that it can neither follow a redirect
	// nor come back later. The forwarder does that for it. Nil means that the client does it
	// itself.
	Committed Committed
}

// Committed is a client whose response is committed. The goroutine that serves the request
// owns it.
type Committed interface {
	// Redirected returns where a redirect of the backend leads, nil if it is not to be
	// followed.
	Redirected(from *url.URL, location string) *url.URL
}

// Secure reports whether the upstream is spoken to by TLS: as the client came, unless the
// target says that it speaks none.
func (x *Exchange) Secure() bool { return x.TLS && !x.Upstream.Target.Plain }

// Handler is one step of the chain. It returns an error instead of answering when it failed
// before the response was committed. The edge turns that into a response, a log line and a
// record, once. After the commit an error aborts the connection, unless it is a
// *clienterror.Error that the client has read already.
type Handler interface {
	ServeExchange(w http.ResponseWriter, r *http.Request, x *Exchange) error
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(w http.ResponseWriter, r *http.Request, x *Exchange) error

// ServeExchange calls f.
func (f HandlerFunc) ServeExchange(w http.ResponseWriter, r *http.Request, x *Exchange) error {
	return f(w, r, x)
}

// Upstream is where one request is sent.
type Upstream struct {
	// Target is the Service that the request is meant for.
	Target *Target
	// Slot is the ready endpoint that was picked. The zero Slot means that none
	// was: the Service's own name is dialled.
	Slot endpoints.Slot
}

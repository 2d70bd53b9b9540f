// Package queue is the wire contract of an interceptor's /queue: the demand of each route, as one
// JSON object or as a stream of changes. It holds the types, the handler and the client. It must
// not know who counts, nor how the counts are used.
package queue

// Path of the endpoint on the admin port, and the query that asks for a stream.
const (
	Path       = "/queue"
	WatchQuery = "watch"
)

// Content types of the two answers.
const (
	ContentTypeJSON  = "application/json"
	ContentTypeWatch = "application/x-ndjson"
)

// Count is the demand of one route on one interceptor. The first two names are
// those of 0.16, whose scalers ignore the others.
type Count struct {
	// Concurrency is the number of requests in flight, or 1 if Leased.
	Concurrency int64 `json:"Concurrency"`
	// RequestCount is the number of all requests since the interceptor started.
	RequestCount int64 `json:"RequestCount"`
	// Cold reports whether an activation lease is live: a request came, and no
	// endpoint was ready since.
	Cold bool `json:"Cold,omitempty"`
	// Leased reports whether the route has no request in flight and shows demand all the
	// same: an activation lease, or a hold.
	Leased bool `json:"Leased,omitempty"`
}

// Counts is the demand by route, "namespace/name".
type Counts map[string]Count

// EventType is what an Event means.
type EventType string

// The types of events. A receiver ignores those that it does not know.
const (
	// Snapshot holds every route, and replaces all earlier counts. It is the first
	// event, and is sent again whenever a route disappeared.
	Snapshot EventType = "SNAPSHOT"
	// Update holds the routes that changed.
	Update EventType = "UPDATE"
	// Bookmark holds nothing. It shows that the sender is alive.
	Bookmark EventType = "BOOKMARK"
)

// Event is one line of the stream.
type Event struct {
	// Type of the event.
	Type EventType `json:"type"`
	// Counts by route; none is an empty snapshot.
	Counts Counts `json:"counts,omitempty"`
}

// Source is where a handler gets the demand from. It is safe for concurrent use.
type Source interface {
	// Counts returns the demand of every route. The map is the caller's.
	Counts() Counts
	// Feed starts a feed of the changes. The caller closes it.
	Feed() Feed
}

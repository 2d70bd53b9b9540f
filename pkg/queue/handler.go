package queue

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// The times of a watch stream.
const (
	// coldSpacing is how far apart lines are that cold hits cause; the first one
	// goes out at once.
	coldSpacing = 2 * time.Millisecond
	// urgentSpacing is the same for lines about routes that turned active or
	// inactive.
	urgentSpacing = 5 * time.Millisecond
	// updateInterval is how long other changes are gathered.
	updateInterval = 250 * time.Millisecond
	// bookmarkInterval is how often a silent sender says that it is alive.
	bookmarkInterval = 5 * time.Second
	// writeTimeout is how long a reader may take to read a line.
	writeTimeout = 10 * time.Second
)

const (
	// maxWatches is how many readers may watch at a time: each replica of the scaler has
	// one stream.
	maxWatches = 64
	// maxLists is how many may read all counts at a time.
	maxLists = 16
)

// NewHandler returns the handler of /queue. It serves the counts of all routes, or with
// ?watch=true a stream of them. The stream ends with the request or when done is closed; a nil
// done never is. Readers over a bound get 503.
func NewHandler(source Source, done <-chan struct{}) http.Handler {
	return &handler{source: source, done: done, watches: make(chan struct{}, maxWatches), lists: make(chan struct{}, maxLists)}
}

type handler struct {
	source Source
	done   <-chan struct{}
	// watches and lists hold one value for each reader.
	watches, lists chan struct{}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "only GET is allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	// Anything else than a clear yes is the answer of 0.16, which had no query.
	if watch, err := strconv.ParseBool(r.URL.Query().Get(WatchQuery)); err == nil && watch {
		h.bounded(w, h.watches, func() { h.watch(w, r) })
		return
	}
	h.bounded(w, h.lists, func() { h.list(w) })
}

// bounded serves a reader if there is a place for it.
func (h *handler) bounded(w http.ResponseWriter, places chan struct{}, serve func()) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		serve()
	default:
		// The connection is closed, so that it takes no place either.
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many readers", http.StatusServiceUnavailable)
	}
}

// list answers with all counts.
func (h *handler) list(w http.ResponseWriter) {
	counts := h.source.Counts()
	if counts == nil {
		counts = Counts{}
	}
	body, err := json.Marshal(counts)
	if err != nil {
		http.Error(w, "encoding the counts failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", ContentTypeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// Without a reader there is no one to notify.
	_ = write(w, body)
}

// write writes and flushes within the time that a reader has. It leaves the deadline in place. On
// HTTP/1.1 the server lifts it for the next request. On HTTP/2, where a stream would be reset at
// it, the next bookmark comes first.
func write(w http.ResponseWriter, line []byte) error {
	control := http.NewResponseController(w)
	// A writer without deadlines, as in tests, does not need them.
	_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.Write(line); err != nil {
		return err
	}
	return control.Flush()
}

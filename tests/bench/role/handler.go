package role

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// handler holds every request in a plain handler until /ready.
func (s *stage) handler() (func(context.Context) error, error) {
	l, err := s.listen("proxy")
	if err != nil {
		return nil, err
	}
	released := make(chan struct{})
	var held atomic.Int64
	ready := sync.OnceFunc(func() { close(released) })
	s.control.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) { ready() })
	s.number("/held", held.Load)
	s.number("/started", func() int64 { return 1 })
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held.Add(1)
		select {
		case <-released:
			_, _ = w.Write([]byte("ok"))
		case <-r.Context().Done():
		}
	})}
	return func(ctx context.Context) error { return serveHTTP(ctx, server, l) }, nil
}

// StreamInterval is how often a cold stream and its bare handler write.
const StreamInterval = time.Second

// StreamingCallback is the cold start whose streams Streams writes too.
func StreamingCallback() map[string]any {
	return map[string]any{"streamingCallback": map[string]any{"message": "Waking", "interval": StreamInterval.String()}}
}

// streams reads the request, writes one event, and one more with each interval.
func (s *stage) streams() (func(context.Context) error, error) {
	l, err := s.listen("proxy")
	if err != nil {
		return nil, err
	}
	var open atomic.Int64
	s.number("/held", open.Load)
	s.number("/started", func() int64 { return 1 })
	event := func(delta string) []byte {
		return fmt.Appendf(nil, `data: {"id":"","object":"chat.completion.chunk","created":%d,"model":"m","choices":[{"index":0,"delta":{%s},"finish_reason":null}]}`+"\n\n",
			time.Now().Unix(), delta)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		header := w.Header()
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-cache, no-transform")
		header.Set("X-Accel-Buffering", "no")
		control := http.NewResponseController(w)
		next := event(`"role":"assistant","content":"Waking"`)
		open.Add(1)
		defer open.Add(-1)
		ticker := time.NewTicker(StreamInterval)
		defer ticker.Stop()
		for {
			if _, err := w.Write(next); err != nil || control.Flush() != nil {
				return
			}
			next = event(`"content":""`)
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	})}
	return func(ctx context.Context) error { return serveHTTP(ctx, server, l) }, nil
}

package queue

import (
	"encoding/json"
	"net/http"
	"time"
)

// watch streams the counts until the reader or the server goes away, or the
// reader is too slow. It returns then: the reader comes back for a snapshot.
func (h *handler) watch(w http.ResponseWriter, r *http.Request) {
	// Before the first look at the counts, so that no change falls in between.
	changed, cancel := h.source.Subscribe()
	defer cancel()

	w.Header().Set("Content-Type", ContentTypeWatch)
	s := stream{w: w, source: h.source}
	if s.snapshot(h.source.Counts()) != nil {
		return
	}
	update, bookmark := time.NewTicker(updateInterval), time.NewTicker(bookmarkInterval)
	defer update.Stop()
	defer bookmark.Stop()
	soon := time.NewTimer(0) // when the next urgent line may go out
	defer soon.Stop()
	<-soon.C

	urgent := changed // nil until soon
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-h.done:
			return
		case <-soon.C:
			urgent = changed
		case <-urgent:
			start := time.Now()
			err = s.update()
			// A route that flaps among very many must not cost a core.
			soon.Reset(max(urgentSpacing, costFactor*time.Since(start)))
			urgent = nil
		case <-update.C:
			err = s.update()
		case <-bookmark.C:
			err = s.send(Event{Type: Bookmark})
		}
		if err != nil {
			return
		}
	}
}

// costFactor bounds what urgent lines may cost: a stream spends at most this
// share of a core on them.
const costFactor = 20

// stream is one reader of the counts.
type stream struct {
	w      http.ResponseWriter
	source Source
	sent   Counts // what the reader knows
}

// update tells the reader what changed since the last line, if anything did.
func (s *stream) update() error {
	now := s.source.Counts()
	changed, kept := Counts{}, 0
	for route, count := range now {
		before, known := s.sent[route]
		if known {
			kept++
		}
		if !known || before != count {
			changed[route] = count
		}
	}
	switch {
	case kept < len(s.sent): // a route disappeared, which an update cannot say
		return s.snapshot(now)
	case len(changed) == 0:
		return nil
	}
	s.sent = now
	return s.send(Event{Type: Update, Counts: changed})
}

// snapshot tells the reader everything.
func (s *stream) snapshot(now Counts) error {
	s.sent = now
	return s.send(Event{Type: Snapshot, Counts: now})
}

// send writes one line.
func (s *stream) send(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return write(s.w, append(line, '\n'))
}

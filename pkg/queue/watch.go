package queue

import (
	"net/http"
	"time"
)

// watch streams the counts until the reader or the server goes away, or the
// reader is too slow. It returns then: the reader comes back for a snapshot.
func (h *handler) watch(w http.ResponseWriter, r *http.Request) {
	// Before the first snapshot, so that no change falls in between.
	feed := h.source.Feed()
	defer feed.Close()

	w.Header().Set("Content-Type", ContentTypeWatch)
	s := stream{w: w, feed: feed, sent: Counts{}}
	if s.snapshot() != nil {
		return
	}
	update, bookmark := time.NewTicker(updateInterval), time.NewTicker(bookmarkInterval)
	defer update.Stop()
	defer bookmark.Stop()
	atOnce, soon := newThrottle(feed.Changed(AtOnce)), newThrottle(feed.Changed(Soon))
	defer atOnce.Stop()
	defer soon.Stop()

	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-h.done:
			_ = s.gathered() // a reader that is gone needs no last line
			return
		case <-atOnce.due:
			err = s.coldHits()
			atOnce.pause(coldSpacing)
		case <-atOnce.C:
			atOnce.due = atOnce.changed
		case <-soon.due:
			start := time.Now()
			_, err = s.update(Soon)
			// Routes that flap, and a reader that is slow, must not cost a core.
			soon.pause(max(urgentSpacing, costFactor*time.Since(start)))
		case <-soon.C:
			soon.due = soon.changed
		case <-update.C:
			err = s.gathered()
		case <-bookmark.C:
			err = s.send(startLine(s.line, Bookmark))
		}
		if err != nil {
			return
		}
	}
}

const (
	// batch is the maximum number of routes in a line that is not a snapshot. A cold hit waits
	// for at most one line, some 20 KB.
	batch = 256
	// costFactor bounds the cost of lines about routes that turn active and inactive. After each
	// line, a stream pauses for this multiple of the time that the line took.
	costFactor = 20
)

// throttle is a signal that is not received during a pause.
type throttle struct {
	*time.Timer
	changed <-chan struct{}
	due     <-chan struct{} // changed, or nil during a pause
}

func newThrottle(changed <-chan struct{}) *throttle {
	t := &throttle{Timer: time.NewTimer(0), changed: changed, due: changed}
	<-t.C
	return t
}

// pause begins a pause, at whose end the timer fires.
func (t *throttle) pause(d time.Duration) {
	t.due = nil
	t.Reset(d)
}

// stream is one reader of the counts.
type stream struct {
	w    http.ResponseWriter
	feed Feed
	sent Counts // what the reader knows
	line []byte // the last line; the next one uses its memory
}

// coldHits sends all cold hits.
func (s *stream) coldHits() error {
	for {
		if more, err := s.update(AtOnce); err != nil || !more {
			return err
		}
	}
}

// gathered sends all changes, and cold hits between two lines.
func (s *stream) gathered() error {
	if s.feed.Round() {
		if err := s.coldHits(); err != nil {
			return err
		}
		return s.snapshot()
	}
	// Routes that change faster than the reader reads must not make this round
	// endless: it has no more lines than all routes need.
	for range len(s.sent)/batch + 1 {
		if err := s.coldHits(); err != nil {
			return err
		}
		if more, err := s.update(Gathered); err != nil || !more {
			return err
		}
	}
	return nil
}

// update sends changes in one line, if there are any, and reports whether it left
// some.
func (s *stream) update(u Urgency) (more bool, err error) {
	line := startLine(s.line, Update)
	empty := len(line)
	more = s.feed.Take(u, batch, func(route string, count Count) {
		if before, known := s.sent[route]; known && before == count {
			return
		}
		s.sent[route] = count
		line = appendCount(line, route, count)
	})
	if len(line) == empty {
		return more, nil
	}
	return more, s.send(line)
}

// snapshot sends every route.
func (s *stream) snapshot() error {
	clear(s.sent)
	line := startLine(s.line, Snapshot)
	s.feed.All(func(route string, count Count) {
		s.sent[route] = count
		line = appendCount(line, route, count)
	})
	return s.send(line)
}

// send ends the line and writes it.
func (s *stream) send(line []byte) error {
	s.line = endLine(line)
	return write(s.w, s.line)
}

// Package counts is a source of /queue that tests set.
package counts

import (
	"maps"
	"sync"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// Source is a queue.Source whose counts are set. Its feeds know only that
// something changed, and compare all counts.
type Source struct {
	mu     sync.Mutex
	counts queue.Counts
	feeds  map[*feed]struct{}
}

// New returns a Source with counts, which become its own.
func New(counts queue.Counts) *Source {
	if counts == nil {
		counts = queue.Counts{}
	}
	return &Source{counts: counts, feeds: make(map[*feed]struct{})}
}

// Counts implements queue.Source.
func (s *Source) Counts() queue.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Feed implements queue.Source.
func (s *Source) Feed() queue.Feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &feed{source: s, changed: make(chan struct{}, 1)}
	s.feeds[f] = struct{}{}
	return f
}

// Feeds is the number of open feeds.
func (s *Source) Feeds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.feeds)
}

// Set changes the count of a route; feeds send it soon.
func (s *Source) Set(route string, c queue.Count) {
	s.Change(true, func(counts queue.Counts) { counts[route] = c })
}

// Change changes the counts; feeds send that soon, or with the next batch.
func (s *Source) Change(soon bool, change func(queue.Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.counts)
	for f := range s.feeds {
		if !soon {
			break
		}
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}

// feed is the feed of one reader.
type feed struct {
	source  *Source
	changed chan struct{}
	counts  queue.Counts // at the last look
	removed bool
}

// look gets the counts.
func (f *feed) look() {
	now := f.source.Counts()
	for route := range f.counts {
		if _, ok := now[route]; !ok {
			f.removed = true
		}
	}
	f.counts = now
}

func (f *feed) Changed(u queue.Urgency) <-chan struct{} {
	if u == queue.Soon {
		return f.changed
	}
	return nil
}

func (f *feed) Take(u queue.Urgency, _ int, visit func(string, queue.Count)) bool {
	switch u {
	case queue.AtOnce: // it cannot tell
	case queue.Soon:
		f.All(visit)
	default: // Round has looked
		f.visit(visit)
	}
	return false
}

func (f *feed) Round() bool {
	f.look()
	removed := f.removed
	f.removed = false
	return removed
}

func (f *feed) All(visit func(string, queue.Count)) {
	f.look()
	f.visit(visit)
}

func (f *feed) visit(visit func(string, queue.Count)) {
	for route, count := range f.counts {
		visit(route, count)
	}
}

func (f *feed) Close() {
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	delete(f.source.feeds, f)
}

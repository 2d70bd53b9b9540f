package queue

// Urgency says how soon readers hear of a change.
type Urgency int

// The urgencies. Every change is Gathered, and some are told sooner as well.
const (
	// Gathered changes are told within 250 ms.
	Gathered Urgency = iota
	// Soon is for a route that turned active or inactive: at once, but for very
	// many of them.
	Soon
	// AtOnce is for a cold hit, which waits for nothing else.
	AtOnce
)

// Feeder is a Source that knows which routes changed, so that telling of one
// costs the same among ten routes and among 100,000. Of any other Source all
// counts are compared whenever it signals.
type Feeder interface {
	Source
	// Feed starts a feed.
	Feed() Feed
}

// Feed is what one reader has not been told yet. All methods but Changed's
// signals belong to that reader's goroutine.
type Feed interface {
	// Changed is the signal of a change of that urgency; nil if there is none.
	Changed(u Urgency) <-chan struct{}
	// Take calls visit with the counts of routes that changed, at most so many,
	// and forgets them. If it leaves some it says so, and their signal is given
	// again. visit must not block.
	Take(u Urgency, most int, visit func(route string, count Count)) (more bool)
	// Round begins a round of gathered changes: counts that change by themselves,
	// as time passes, are due again. It says whether a route disappeared since the
	// last round, which only All can tell.
	Round() (removed bool)
	// All calls visit for every route. visit must not block.
	All(visit func(route string, count Count))
	// Close ends the feed.
	Close()
}

// feedOf is the feed of any source.
func feedOf(source Source) Feed {
	if f, ok := source.(Feeder); ok {
		return f.Feed()
	}
	f := &polled{source: source}
	f.changed, f.cancel = source.Subscribe()
	return f
}

// polled is the feed of a Source that says only that something changed.
type polled struct {
	source  Source
	changed <-chan struct{}
	cancel  func()
	counts  Counts // at the last look
	removed bool
}

// look gets the counts.
func (f *polled) look() {
	now := f.source.Counts()
	for route := range f.counts {
		if _, ok := now[route]; !ok {
			f.removed = true
		}
	}
	f.counts = now
}

func (f *polled) Changed(u Urgency) <-chan struct{} {
	if u == Soon {
		return f.changed
	}
	return nil
}

func (f *polled) Take(u Urgency, _ int, visit func(string, Count)) bool {
	switch u {
	case AtOnce: // it cannot tell
	case Soon:
		f.All(visit)
	default: // Round has looked
		f.visit(visit)
	}
	return false
}

func (f *polled) Round() bool {
	f.look()
	removed := f.removed
	f.removed = false
	return removed
}

func (f *polled) All(visit func(string, Count)) {
	f.look()
	f.visit(visit)
}

func (f *polled) visit(visit func(string, Count)) {
	for route, count := range f.counts {
		visit(route, count)
	}
}

func (f *polled) Close() { f.cancel() }

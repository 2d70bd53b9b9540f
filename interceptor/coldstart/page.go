package coldstart

import (
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// livePage keeps a waiting page open in a browser until its target is ready. The browser
// then asks again, so the page gives its endpoint back.
type livePage struct{ live *page.Live }

// start opens the page. It does not expire: the browser comes back by itself.
func (l *livePage) start(p *pending) (next time.Duration, err error) {
	p.x.Trace.Event(tracing.Page)
	if p.deadline != nil {
		p.deadline.Stop()
	}
	l.live, err = p.x.Route.Page.Open(p.w, p.r, p.progress())
	return page.Interval, err
}

// tick does not leave the browser waiting for its turn among the held requests once the
// target is awake.
func (l *livePage) tick(p *pending) (time.Duration, error) {
	if p.x.Route.Target.Endpoints.Ready() {
		return woken, l.live.Reload()
	}
	open, err := l.live.Tick()
	if !open {
		return answered, err
	}
	return page.Interval, err
}

func (l *livePage) ready(p *pending) error {
	p.x.Upstream.Slot.Release()
	return l.live.Reload()
}

// failed ends the page: the browser comes back by itself.
func (l *livePage) failed(*pending, *clienterror.Error) error { return l.live.Reload() }

// overflow answers with the finite page: a browser never gets an error over the cap.
func (l *livePage) overflow(p *pending) error { return p.finitePage() }

// finitePage answers with a page that has a length, for everybody who does not keep it
// open.
func (p *pending) finitePage() error {
	p.x.Trace.Event(tracing.Page)
	return p.x.Route.Page.ServeFinite(p.w, p.r, p.progress())
}

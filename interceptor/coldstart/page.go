package coldstart

import (
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// page answers a navigation with the page of the route. A wake that has taken longer than the
// route allows ends as it does for held requests: with the fallback, else with an error. The
// wake's time counts, because a browser asks many times during one.
func (p *pending) page(answer page.Answer) error {
	p.asksAgain(p.x.Route.Page)
	if left, bounded := p.timeLeft(); bounded && left <= 0 {
		p.responder = hold{}
		return p.late(metrics.OutcomeTimeout)
	}
	if answer == page.AnswerLive {
		return p.wait(&livePage{page: p.x.Route.Page})
	}
	return p.finitePage()
}

// timeLeft returns how long the wake may still take, if the route bounds that.
func (p *pending) timeLeft() (left time.Duration, bounded bool) {
	readiness := p.x.Route.Readiness
	return readiness - p.progress().Elapsed, readiness > 0
}

// asksAgain renews the demand of a browser that comes back by itself, if time is measured. If the
// lease ended before that, a new wake would begin.
func (p *pending) asksAgain(shown *page.Page) {
	if route := p.x.Route; route.Readiness > 0 {
		route.InFlight.Cold(max(route.Lease, shown.ComesBack()), route.TargetReady)
	}
}

// livePage keeps a waiting page open in a browser until its target is ready. The browser
// then asks again, so the page gives its endpoint back.
type livePage struct {
	page *page.Page // a route that replaces the request's may have none
	live *page.Live
}

// start opens the page. The readiness timeout ends it, not the request's: this is the
// answer.
func (l *livePage) start(p *pending) (next time.Duration, err error) {
	p.x.Trace.Event(tracing.Page)
	p.last, p.shows = false, true
	p.expireAfter(p.timeLeft())
	l.live, err = l.page.Open(p.w, p.r, p.progress())
	return page.Interval, err
}

// tick does not leave the browser waiting for its turn among the held requests once the
// target is awake.
func (l *livePage) tick(p *pending) (time.Duration, error) {
	if p.x.Route.Target.Endpoints.Ready() {
		return woken, l.live.Reload()
	}
	open, err := l.live.Tick(p.progress().Stage)
	if !open {
		p.asksAgain(l.page)
		return answered, err
	}
	return page.Interval, err
}

// ready makes the browser ask again, of the target or of the fallback.
func (l *livePage) ready(p *pending) error {
	p.x.Upstream.Slot.Release()
	return l.live.Reload()
}

// failed ends the page with what has happened. The browser comes back, and gets the failure if it
// is still one.
func (l *livePage) failed(p *pending, failure *clienterror.Error) error {
	p.asksAgain(l.page)
	if failure.Status == http.StatusServiceUnavailable { // time will not help
		return sent(failure, l.live.Failed())
	}
	return sent(failure, l.live.Late())
}

// overflow answers with the finite page: a browser never gets an error over the cap.
func (l *livePage) overflow(p *pending) error { return p.finitePage() }

// finitePage answers with a page that has a length, for everybody who does not keep it
// open.
func (p *pending) finitePage() error {
	p.x.Trace.Event(tracing.Page)
	return p.x.Route.Page.ServeFinite(p.w, p.r, p.progress())
}

package coldstart

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// candidate is a request that may be a streaming one, which only its whole body can
// tell. Until that is there it is held like any other: it may never end, or only after an
// answer.
type candidate struct {
	hold
	request  *stream.Candidate
	callback *stream.Callback // a route that replaces the request's may have none
}

func (c *candidate) start(p *pending) (time.Duration, error) {
	interest := body.Whole
	if c.request.Object() {
		interest = body.Object
	}
	p.held(p.maxBody, interest)
	if p.x.Body == nil {
		return c.tick(p)
	}
	p.notify = p.x.Body.Settled()
	return 0, nil
}

// tick decides what the request is.
func (c *candidate) tick(p *pending) (time.Duration, error) {
	if whole, ok := p.x.Body.Whole(); ok {
		if request, ok := c.request.Parse(p.r, whole); ok {
			p.responder = &streaming{callback: c.callback, request: request}
			return replaced, nil
		}
	}
	if answersAtOnce(p.x.Route) && !p.x.Route.Target.Endpoints.Ready() {
		_ = p.x.Body.Close() // never fails
		return answered, p.placeholder()
	}
	p.responder = c.hold
	return 0, nil
}

// streaming keeps the client of a streaming request on the line, and splices the real
// answer into the response. Until the callback's initial delay is over, it is a hold.
type streaming struct {
	hold
	callback *stream.Callback
	request  stream.Request
	stream   *stream.Stream // nil until the response is committed
}

func (s *streaming) start(p *pending) (time.Duration, error) {
	if delay := s.callback.InitialDelay(); delay > 0 {
		return delay, nil
	}
	return s.tick(p)
}

// tick commits the response, and then sends keepalives.
func (s *streaming) tick(p *pending) (next time.Duration, err error) {
	if s.stream != nil {
		return s.stream.Interval(), s.stream.Tick()
	}
	if s.stream, err = s.callback.Open(p.w, s.request, p.progress); err != nil {
		return 0, err
	}
	p.x.Trace.Event(tracing.Committed)
	p.shows = s.callback.ShowsStage()
	return s.stream.Interval(), nil
}

// ready forwards the request and splices the answer into the stream. The client got
// 100 Continue long ago, and the committed head names no encoding.
func (s *streaming) ready(p *pending) error {
	if s.stream == nil {
		return s.hold.ready(p)
	}
	ctx, giveUp := context.WithCancel(p.r.Context())
	defer giveUp()
	r := p.r.WithContext(ctx)
	r.Header = maps.Clone(r.Header)
	r.Header["Accept-Encoding"] = []string{"identity"}
	delete(r.Header, "Expect")

	p.x.Committed = committed{p}
	splicer := s.stream.Splice(p.r, p.budget)
	splicer.GiveUp = giveUp
	splicer.KeepAlive()
	defer splicer.Discard() // the forwarder may panic
	err := p.next.ServeExchange(splicer, r, p.x)
	var failure *clienterror.Error
	if !errors.As(err, &failure) {
		failure = &clienterror.Error{Status: http.StatusBadGateway, Message: "the backend did not answer", Err: err}
	}
	err = splicer.Close(err, failure.Status, failure.Message)
	if reason := splicer.Lost(); reason != "" {
		p.metrics.LostAnswer(p.r.Context(), p.x.Route)
		if p.losses.Allow() {
			p.log.Info("answer to a streaming request replaced by a failure",
				"route", p.x.Route.Namespace+"/"+p.x.Route.Name, "reason", reason, "status", splicer.Status(), "contentType", splicer.Header().Get("Content-Type"))
		}
	}
	if status := splicer.Status(); status >= http.StatusMultipleChoices {
		// The record has the backend's real status.
		failure = &clienterror.Error{Status: status, Message: "the backend did not answer with a stream", Err: failure.Err}
		return sent(failure, err)
	}
	return err
}

// committed is a client whose stream is committed, as the forwarder knows it.
type committed struct{ pending *pending }

// Redirected returns where a redirect leads if it would have brought the client back to the same
// route. An example is one that adds or removes a slash at the end of a path.
func (c committed) Redirected(from *url.URL, location string) *url.URL {
	p := c.pending
	base := url.URL{Scheme: "http", Host: p.r.Host, Path: from.Path, RawPath: from.RawPath}
	given, err := url.Parse(location)
	if err != nil || location == "" {
		return nil
	}
	to := base.ResolveReference(given)
	if !strings.EqualFold(withoutDefaultPort(to.Host), withoutDefaultPort(p.r.Host)) {
		return nil
	}
	if strings.HasPrefix(given.Path, "/") && !strings.Contains(given.Path, "/.") {
		// ResolveReference encodes the path again.
		to.Path, to.RawPath = given.Path, given.RawPath
	}
	if route, ok := p.match(p.r, to.Host, to.Path); !ok || route.Namespace != p.x.Route.Namespace || route.Name != p.x.Route.Name {
		return nil
	}
	return &url.URL{Path: to.Path, RawPath: to.RawPath, RawQuery: to.RawQuery}
}

// withoutDefaultPort returns a host without the port of HTTP or HTTPS. A proxy that ends TLS in
// front of the interceptor hides which of them the client speaks.
func withoutDefaultPort(host string) string {
	host, cut := strings.CutSuffix(host, ":443")
	if !cut {
		host = strings.TrimSuffix(host, ":80")
	}
	return host
}

// failed ends the stream with the failure.
func (s *streaming) failed(_ *pending, failure *clienterror.Error) error {
	if s.stream == nil {
		return failure
	}
	return sent(failure, s.stream.Fail(failure.Status, failure.Message))
}

// sent returns the failure of a stream that has ended with it. err is the reason to abort the
// connection; nil means that the client has read the failure.
func sent(failure *clienterror.Error, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", err, failure)
	}
	read := *failure
	read.Sent = true
	return &read
}

package tracing

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTracesThatAreOffCostNothing(t *testing.T) {
	if New(nil) != nil {
		t.Fatal("there is a Tracer without a provider")
	}
	r := httptest.NewRequest(http.MethodGet, "http://app.test/", nil)
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	header := http.Header{"Tracestate": {"vendor=1"}}
	out := &http.Request{Header: header}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		trace := New(nil).Begin(r, http.MethodGet, now)
		trace.Event(Held)
		trace.ColdStart("ready", "loading", "", now)
		attempt := trace.Attempt(out, "http", "app.default:80", "127.0.0.1:80", 1)
		attempt.Answered(nil)
		attempt.Failed("connect")
		attempt.End()
		if trace.Context(r.Context()) != r.Context() {
			t.Error("the context has changed")
		}
		trace.End(Result{Status: http.StatusOK}, now)
	}); n != 0 {
		t.Errorf("a request allocates %v times", n)
	}
	if header.Get("Tracestate") != "vendor=1" {
		t.Error("a header has changed")
	}
}

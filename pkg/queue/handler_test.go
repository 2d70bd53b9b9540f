package queue

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// The names and shapes are what 0.16's scalers and scripts read.
func TestWireFormat(t *testing.T) {
	tests := map[string]struct {
		value any
		want  string
	}{
		"idle route":     {Count{}, `{"Concurrency":0,"RequestCount":0}`},
		"busy route":     {Count{Concurrency: 3, RequestCount: 42}, `{"Concurrency":3,"RequestCount":42}`},
		"leased route":   {Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true}, `{"Concurrency":1,"RequestCount":1,"Cold":true,"Leased":true}`},
		"snapshot":       {Event{Type: Snapshot, Counts: Counts{"ns/a": {}}}, `{"type":"SNAPSHOT","counts":{"ns/a":{"Concurrency":0,"RequestCount":0}}}`},
		"empty snapshot": {Event{Type: Snapshot, Counts: Counts{}}, `{"type":"SNAPSHOT"}`},
		"update":         {Event{Type: Update, Counts: Counts{"ns/a": {Concurrency: 1}}}, `{"type":"UPDATE","counts":{"ns/a":{"Concurrency":1,"RequestCount":0}}}`},
		"bookmark":       {Event{Type: Bookmark}, `{"type":"BOOKMARK"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(test.value)
			if err != nil || string(got) != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func TestList(t *testing.T) {
	counts := Counts{"ns/llm": {Concurrency: 3, RequestCount: 42}, "ns/idle": {}}
	tests := map[string]struct {
		counts Counts
		query  string
		want   string
	}{
		"every route, zeros included": {counts, "", `{"ns/idle":{"Concurrency":0,"RequestCount":0},"ns/llm":{"Concurrency":3,"RequestCount":42}}`},
		"no route":                    {nil, "", `{}`},
		"watch is off":                {nil, "?watch=false", `{}`},
		"watch is nonsense":           {nil, "?watch=perhaps", `{}`},
		"another query":               {nil, "?pretty=true", `{}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			NewHandler(newDemand(test.counts), nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path+test.query, nil))
			if w.Code != http.StatusOK || w.Body.String() != test.want {
				t.Errorf("status %d, body %s, want %s", w.Code, w.Body, test.want)
			}
			if got := w.Header().Get("Content-Type"); got != ContentTypeJSON {
				t.Errorf("content type %q", got)
			}
		})
	}
}

func TestOnlyGet(t *testing.T) {
	for _, query := range []string{"", "?watch=true"} {
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			w := httptest.NewRecorder()
			NewHandler(newDemand(nil), nil).ServeHTTP(w, httptest.NewRequest(method, Path+query, nil))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodGet {
				t.Errorf("%s %s: status %d, Allow %q", method, query, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

func TestReadersAreBounded(t *testing.T) {
	source := newDemand(Counts{"ns/a": {}})
	h := NewHandler(source, nil)
	ctx, leave := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	for range maxWatches {
		watching.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, Path+"?watch=true", nil))
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for source.readers() < maxWatches {
		<-tick.C
	}
	ask := func(ctx context.Context, query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, Path+query, nil))
		return w
	}
	if w := ask(ctx, "?watch=true"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Connection") != "close" {
		t.Errorf("one reader too many gets %d and %v", w.Code, w.Header())
	}
	if w := ask(ctx, ""); w.Code != http.StatusOK {
		t.Errorf("watches keep out who asks once: %d", w.Code)
	}
	leave()
	watching.Wait()
	if w := ask(ctx, "?watch=true"); w.Code != http.StatusOK {
		t.Errorf("the places are not given back: %d", w.Code)
	}
}

package queue

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answer is a handler that sends some text as a stream, then does something.
func answer(status int, contentType, text string, then func(r *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		if then != nil {
			then(r)
		}
	})
}

func TestWatchOfAnOddServer(t *testing.T) {
	const snapshot = `{"type":"SNAPSHOT"}` + "\n"
	tests := map[string]struct {
		reason string
		server http.Handler
		events int
		want   func(error) bool
	}{
		"older interceptor": {
			"it must be polled instead",
			answer(200, "application/json", `{}`, nil), 0,
			func(err error) bool { return errors.Is(err, ErrNoWatch) },
		},
		"not found": {
			"the status is in the error",
			answer(404, "text/plain", "no", nil), 0,
			func(err error) bool { return strings.Contains(err.Error(), "404") },
		},
		"not a snapshot first": {
			"an update of nothing cannot be understood",
			answer(200, ContentTypeWatch, `{"type":"UPDATE"}`+"\n", nil), 0,
			func(err error) bool { return strings.Contains(err.Error(), "first event") },
		},
		"broken JSON": {
			"half a line is not an event",
			answer(200, ContentTypeWatch, snapshot+`{"type":`+"\n", nil), 1,
			func(err error) bool { return strings.Contains(err.Error(), "decoding an event") },
		},
		"negative count": {
			"it would lower the sum over the other interceptors",
			answer(200, ContentTypeWatch, snapshot+`{"type":"UPDATE","counts":{"a/b":{"Concurrency":-1}}}`+"\n", nil), 1,
			func(err error) bool { return strings.Contains(err.Error(), "negative") },
		},
		"unknown type": {
			"a newer interceptor may say more",
			answer(200, ContentTypeWatch, snapshot+`{"type":"NOVELTY"}`+"\n"+snapshot, nil), 2,
			func(err error) bool { return errors.Is(err, io.EOF) },
		},
		"endless line": {
			"memory is bounded",
			answer(200, ContentTypeWatch, snapshot+strings.Repeat("x", maxLine+1), nil), 1,
			func(err error) bool { return strings.Contains(err.Error(), "too long") },
		},
		"cut": {
			"not a clean end",
			answer(200, ContentTypeWatch, snapshot, func(*http.Request) { panic(http.ErrAbortHandler) }), 1,
			func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
		},
		"silent": {
			"a peer that is gone without a word is noticed",
			answer(200, ContentTypeWatch, snapshot, func(r *http.Request) { <-r.Context().Done() }), 1,
			func(err error) bool { return errors.Is(err, ErrSilent) },
		},
		"no header": {
			"the bound holds from the start",
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), 0,
			func(err error) bool { return errors.Is(err, ErrSilent) },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, client := serve(t, test.server)
				w := watch(t, client)
				if err := <-w.err; !test.want(err) {
					t.Errorf("%s: %v", test.reason, err)
				}
				if n := len(w.events); n != test.events {
					t.Errorf("%s: %d events", test.reason, n)
				}
				if took := time.Since(w.start); took > maxSilence {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestWatchAsksForTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan string, 1)
		_, client := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.RequestURI }))
		_ = client.Watch(t.Context(), "http://interceptor/queue?x=1", nil)
		if got := <-asked; got != "/queue?watch=true&x=1" {
			t.Errorf("asked for %s", got)
		}
	})
}

func TestWatchOfNoAddress(t *testing.T) {
	for _, address := range []string{"://", "http://[::1", "nonsense"} {
		if err := new(Client).Watch(context.Background(), address, nil); err == nil {
			t.Errorf("%q: no error", address)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"UPDATE","counts":{"a/b":{"Concurrency":1,"RequestCount":2,"Cold":true,"Leased":true}}}`))
	f.Add([]byte(`{"type":"SNAPSHOT","counts":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := decode(line)
		if err != nil {
			return
		}
		for route, c := range e.Counts {
			if c.Concurrency < 0 || c.RequestCount < 0 {
				t.Errorf("%s has %+v", route, c)
			}
		}
	})
}

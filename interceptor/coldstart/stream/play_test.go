package stream

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

var update = flag.Bool("update", false, "write the golden files anew")

// part is one cold start: how long the wait takes, and what the backend answers.
type part struct {
	dialect *Dialect
	client  http.Header // by which the client is known
	body    string
	spec    Options
	// wait until an endpoint is ready; expire ends it with 504 instead.
	wait   time.Duration
	expire bool
	// answer of the backend, and the error that its handler returns.
	answer func(w http.ResponseWriter)
	failed error
}

// played is what came of it.
type played struct {
	*httptest.ResponseRecorder
	// writes are the bodies of each flush and when they came.
	writes []string
	status int
	err    error
}

// timedRecorder notes when what was flushed.
type timedRecorder struct {
	*httptest.ResponseRecorder
	start time.Time
	seen  int
	notes []string
}

func (w *timedRecorder) FlushError() error {
	w.Flush()
	w.notes = append(w.notes, time.Since(w.start).String()+" "+w.Body.String()[w.seen:])
	w.seen = w.Body.Len()
	return nil
}

// play runs a part in a bubble, where time is what the part says it is.
func play(t *testing.T, p part) (out played) {
	t.Helper()
	callback, err := Compile(p.spec)
	if err != nil {
		t.Fatal(err)
	}
	q := asking(p.dialect, p.client, p.body)
	synctest.Test(t, func(t *testing.T) {
		w := &timedRecorder{ResponseRecorder: httptest.NewRecorder(), start: time.Now()}
		r := httptest.NewRequest("POST", "/", nil)
		out.ResponseRecorder = w.ResponseRecorder
		defer func() { out.writes = w.notes }()
		s, err := callback.Open(w, q, unknown)
		if err != nil {
			t.Fatal(err)
		}
		if err := pass(s, p.wait); err != nil {
			t.Fatal(err)
		}
		if p.expire {
			out.err = s.Fail(http.StatusGatewayTimeout, "the service did not become ready in time")
			return
		}
		splicer := s.Splice(r, plenty{})
		if p.answer != nil {
			p.answer(splicer)
		}
		out.err = splicer.Close(p.failed, http.StatusBadGateway, "the backend did not answer")
		out.status = splicer.Status()
	})
	return out
}

// answer is a backend's answer.
func answer(status int, contentType string, body ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		for _, piece := range body {
			if _, err := w.Write([]byte(piece)); err != nil {
				return
			}
		}
	}
}

// golden compares a response with a file, to the byte.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// asking is a request that is served in a dialect.
func asking(d *Dialect, header http.Header, body string) Request {
	f, _ := parseFacts([]byte(body))
	return d.request(&http.Request{Header: header}, &f)
}

// unknown is the progress of a wake that nothing is known of.
func unknown() eta.Progress { return eta.Progress{} }

// pass lets d pass as a wait does, with a Tick at each interval.
func pass(s *Stream, d time.Duration) error {
	over := time.After(d)
	ticker := time.NewTicker(s.Interval())
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return nil
		case <-ticker.C:
			if err := s.Tick(); err != nil {
				return err
			}
		}
	}
}

package conformance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/listen"
)

// resetting is a pod that is not up yet: it takes a request and resets the connection.
func (w *world) resetting() (address string, seen *atomic.Int64) {
	w.t.Helper()
	l, seen := listen.Loopback(w.t), new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			_, _ = conn.Read(make([]byte, 4096))
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	w.t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), seen
}

func TestHeldRequestsSurviveAPodThatIsNotUpYet(t *testing.T) {
	const body = "the whole body"
	streaming := streamRoute(`message: Waking, interval: 1h`) // which looks for a JSON object in a POST
	for _, c := range []struct{ method, objects string }{
		{http.MethodGet, plainRoute}, {http.MethodPost, plainRoute}, {http.MethodPut, plainRoute},
		{http.MethodPost, streaming}, {http.MethodPut, streaming},
	} {
		t.Run(c.method, func(t *testing.T) {
			w := newWorld(t, c.objects)
			dead, seen := w.resetting()
			var answers []<-chan answer
			for i := range 8 {
				answers = append(answers, w.later(w.request(c.method, "app.test", "/", body)))
				w.held("default/app", int64(i+1))
			}
			w.ready("app", dead, w.backend(echo))
			for _, a := range answers {
				(<-a).expect(t, "a held request", http.StatusOK, body)
			}
			if seen.Load() == 0 {
				t.Error("nobody was sent to the pod that is not up")
			}
		})
	}
}

func TestStreamSurvivesAPodThatIsNotUpYet(t *testing.T) {
	w := newWorld(t, streamRoute(`message: Waking, interval: 1h`))
	dead, seen := w.resetting()
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	line(t, events)
	w.ready("app", dead)
	w.eventually("the pod was asked", func() bool { return seen.Load() > 0 })
	rest, err := io.ReadAll(events)
	if err != nil || !strings.Contains(string(rest), `"code":"502"`) || seen.Load() != 2 {
		t.Errorf("the only pod was asked %d times, and the stream ends with %q, %v", seen.Load(), rest, err)
	}
}

func TestWarmRequestIsRepeatedIfThatIsHarmless(t *testing.T) {
	w := newWorld(t, plainRoute)
	dead, seen := w.resetting()
	w.ready("app", dead, w.backend(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method) }))
	for _, c := range []struct {
		method string
		status int
	}{{http.MethodGet, http.StatusOK}, {http.MethodPost, http.StatusBadGateway}} {
		w.eventually("the pod that is not up was picked", func() bool {
			before := seen.Load()
			got := w.do(w.request(c.method, "app.test", "/", ""))
			if seen.Load() == before {
				got.expect(t, "a request to the pod that is up", http.StatusOK, c.method)
				return false
			}
			got.expect(t, c.method, c.status, "")
			return true
		})
	}
}

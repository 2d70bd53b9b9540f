package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAdmin(t *testing.T) {
	queue := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "queue?"+r.URL.RawQuery) })
	for _, test := range []struct {
		reason, method, target string
		ready                  bool
		status                 int
		body                   string
	}{
		{"alive before it is ready, or it would be restarted", http.MethodGet, "/livez", false, http.StatusOK, "ok\n"},
		{"not ready", http.MethodGet, "/readyz", false, http.StatusServiceUnavailable, "not ready\n"},
		{"ready", http.MethodGet, "/readyz", true, http.StatusOK, "ok\n"},
		{"ready, to a probe by HEAD", http.MethodHead, "/readyz", true, http.StatusOK, "ok\n"},
		{"the queue, asked before the routes are known", http.MethodGet, "/queue", false, http.StatusOK, "queue?"},
		{"the watch stream", http.MethodGet, "/queue?watch=true", true, http.StatusOK, "queue?watch=true"},
		{"nothing can be changed", http.MethodPost, "/queue", true, http.StatusMethodNotAllowed, ""},
		{"probes take no other method", http.MethodDelete, "/livez", true, http.StatusMethodNotAllowed, ""},
		{"nothing else is here", http.MethodGet, "/", true, http.StatusNotFound, ""},
		{"nor below", http.MethodGet, "/livez/x", true, http.StatusNotFound, ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			w := httptest.NewRecorder()
			request := httptest.NewRequest(test.method, test.target, nil)
			// A route may claim every host; probes come with any.
			request.Host = "app.example.com"
			New(queue, func() bool { return test.ready }).ServeHTTP(w, request)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if test.body != "" && w.Body.String() != test.body {
				t.Errorf("body %q, want %q", w.Body, test.body)
			}
		})
	}
}

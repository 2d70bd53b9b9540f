// Package admin answers on the admin port: probes for the kubelet and the queue
// for scalers. It knows neither routes nor counters, so that no route can get in
// its way.
package admin

import (
	"io"
	"net/http"
)

// New returns the handler of the admin port. queue serves /queue; ready says
// whether traffic may come. Probes answer GET and
// HEAD, the queue GET.
func New(queue http.Handler, ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /queue", queue)
	return mux
}

// answer writes a line of text. A probe that has gone away needs no answer.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

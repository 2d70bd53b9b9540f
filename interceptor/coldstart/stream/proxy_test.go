package stream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// TestReverseProxyWritesToTheSplicer: the standard library's proxy, which
// forwards informational answers, announces trailers and flushes, between real
// connections.
func TestReverseProxyWritesToTheSplicer(t *testing.T) {
	event := `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"}}]}` + "\n\n"
	want := `data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}` + "\n\n"
	for _, c := range []struct {
		reason  string
		backend http.HandlerFunc
		want    string
		cut     bool
	}{
		{"a stream, after an early hint and before a trailer", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Trailer", "X-After")
			w.Header().Set("Content-Type", eventStream)
			_, _ = io.WriteString(w, event[:10])
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, event[10:])
			w.Header().Set("X-After", "1")
		}, want, false},
		{"a stream that is cut", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", eventStream)
			_, _ = io.WriteString(w, event)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, want, true},
		{"a connection that is cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			chatFailure("the backend did not answer", "server_error", `"502"`), false},
		{"a refusal", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) },
			chatFailure("busy", "server_error", `"503"`), false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			backend := httptest.NewServer(c.backend)
			defer backend.Close()
			target, err := url.Parse(backend.URL)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			none := ""
			callback, err := Compile(Options{Message: "m", Separator: &none})
			if err != nil {
				t.Fatal(err)
			}
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				q := asking(&openAIChat, r.Header, string(body))
				s, err := callback.Open(w, q, unknown)
				if err != nil {
					t.Error(err)
					return
				}
				splicer := s.Splice(r, plenty{})
				if err := splicer.Close(proxy(target, transport, splicer, r), http.StatusBadGateway, "the backend did not answer"); err != nil {
					if !errors.Is(err, http.ErrAbortHandler) {
						t.Errorf("got %v", err)
					}
					panic(http.ErrAbortHandler)
				}
			}))
			defer front.Close()
			defer front.Client().CloseIdleConnections()
			response, err := front.Client().Post(front.URL, "application/json", strings.NewReader(chatBody))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			got, err := io.ReadAll(response.Body)
			if (err != nil) != c.cut {
				t.Errorf("the end: %v", err)
			}
			_, after, _ := strings.Cut(string(got), "\n\n")
			if after != c.want {
				t.Errorf("got\n%swant\n%s", after, c.want)
			}
		})
	}
}

// proxy forwards as the interceptor does, errors instead of answers.
func proxy(target *url.URL, transport *http.Transport, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if cut := recover(); cut != nil {
			err = fmt.Errorf("copying: %w", http.ErrAbortHandler)
		}
	}()
	p := httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, failed error) { err = failed },
	}
	p.ServeHTTP(w, r)
	return err
}

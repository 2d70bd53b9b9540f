package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// apiCase is a request of a real API with the answer of its backend.
type apiCase struct {
	Name    string            `json:"name"`
	Method  string            `json:"method"` // POST unless set
	Path    string            `json:"path"`
	HTTP2   bool              `json:"http2"` // on both sides
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Base64  []byte            `json:"base64"` // a body that is not text
	// Gets is what a client gets while the target wakes, in the words of the table of
	// docs/cold-start.md: a dialect, or "held".
	Gets string `json:"gets"`
	// Text is set if waiting text may show.
	Text   bool `json:"text"`
	Answer struct {
		Status   int               `json:"status"` // 200 unless set
		Headers  map[string]string `json:"headers"`
		Trailers map[string]string `json:"trailers"`
		Body     string            `json:"body"`
		Base64   []byte            `json:"base64"`
		Mark     bool              `json:"mark"` // a byte order mark comes first
	} `json:"answer"`
	// Becomes is the form that a committed response gives an answer that is not a stream:
	// "events" or "failure". Empty passes the stream on.
	Becomes string `json:"becomes"`
	// Says are texts that the response then contains, in this order.
	Says []string `json:"says"`
}

// apiCases reads testdata/apis.
func apiCases(t *testing.T) []apiCase {
	t.Helper()
	files, err := filepath.Glob("testdata/apis/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the APIs: %v", err)
	}
	var all []apiCase
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var some []apiCase
		if err := yaml.UnmarshalStrict(data, &some); err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		all = append(all, some...)
	}
	return all
}

// content is the answer's body as the backend sends it.
func (c *apiCase) content() []byte {
	body := append([]byte(c.Answer.Body), c.Answer.Base64...)
	if c.Answer.Mark {
		body = append([]byte("\ufeff"), body...)
	}
	if c.Answer.Headers["Content-Encoding"] == "gzip" {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(body) // a buffer takes it
		_ = w.Close()
		body = out.Bytes()
	}
	return body
}

// streams reports whether the backend sends its answer as it comes, so that it has no
// length.
func (c *apiCase) streams() bool {
	media := c.Answer.Headers["Content-Type"]
	return strings.Contains(media, "event-stream") || strings.Contains(media, "eventstream") ||
		strings.Contains(media, "ndjson") || strings.Contains(media, "grpc") || c.Becomes == "" && c.Gets != "held"
}

// serve gives the answer.
func (c *apiCase) serve(w http.ResponseWriter) {
	for name, value := range c.Answer.Headers {
		w.Header().Set(name, value)
	}
	for name := range c.Answer.Trailers {
		w.Header().Add("Trailer", name)
	}
	w.WriteHeader(max(c.Answer.Status, http.StatusOK))
	body := c.content()
	half := 0
	if c.streams() {
		half = len(body) / 2
		_, _ = w.Write(body[:half])
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = w.Write(body[half:])
	for name, value := range c.Answer.Trailers {
		w.Header().Set(name, value)
	}
}

// received is a request as the backend gets it.
type received struct {
	line   string
	header http.Header
	body   string
}

// displays are the routes of each case, in addition to the warm one.
var displays = []string{"Content", "Reasoning", "None"}

// apiWorld is a world with routes for all cases.
type apiWorld struct {
	*world
	backends [2]string // HTTP/1.1 and HTTP/2
	clients  [2]*http.Client

	mu  sync.Mutex
	got map[string]received // by host
}

func newAPIWorld(t *testing.T, cases []apiCase) *apiWorld {
	t.Helper()
	var objects strings.Builder
	for i, c := range cases {
		for _, display := range append([]string{"Warm"}, displays...) {
			name := fmt.Sprintf("case%d-%s", i, strings.ToLower(display))
			protocol := "http"
			if c.HTTP2 {
				protocol = "kubernetes.io/h2c"
			}
			fmt.Fprintf(&objects, `
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{name: http, port: 80, appProtocol: %[2]s}]}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %[1]s}
spec:
  target: {service: %[1]s, portName: http}
  rules: [{hosts: [%[1]s.test]}]
  scalingMetric: {concurrency: {targetValue: 100}}
  coldStart: {streamingCallback: {message: Waking up, keepaliveMessage: still, interval: 100ms, display: %[3]s}}
---`, name, protocol, strings.Replace(display, "Warm", "Content", 1))
		}
	}
	w := &apiWorld{world: newWorld(t, objects.String()), got: map[string]received{}}
	for i := range w.backends {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var n int
			if _, err := fmt.Sscanf(r.Host, "case%d-", &n); err != nil {
				t.Errorf("a request for %s", r.Host)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("%s: reading the request: %v", cases[n].Name, err)
			}
			w.mu.Lock()
			_, again := w.got[r.Host]
			w.got[r.Host] = received{r.Method + " " + r.RequestURI, r.Header, string(body)}
			w.mu.Unlock()
			if again {
				t.Errorf("%s: the backend was asked twice", cases[n].Name)
			}
			cases[n].serve(rw)
		}))
		protocols := new(http.Protocols)
		protocols.SetHTTP1(i == 0)
		protocols.SetUnencryptedHTTP2(i == 1)
		server.Config.Protocols = protocols
		server.Start()
		t.Cleanup(server.Close)
		w.backends[i] = server.Listener.Addr().String()
		transport := &http.Transport{DisableCompression: true, Protocols: protocols}
		t.Cleanup(transport.CloseIdleConnections)
		w.clients[i] = &http.Client{Transport: transport, CheckRedirect: w.client.CheckRedirect}
	}
	return w
}

// side is 1 for a case on HTTP/2.
func (c *apiCase) side() int {
	if c.HTTP2 {
		return 1
	}
	return 0
}

// response is what a client gets.
type response struct {
	Status  int
	Header  http.Header
	Body    string
	Trailer http.Header
	Err     error
}

// ask sends the case's request to a route. It calls meanwhile when a response has begun, with the
// readable part of it, before it reads the rest.
func (w *apiWorld) ask(t *testing.T, c *apiCase, host string, meanwhile func(begun io.Reader)) response {
	t.Helper()
	method := c.Method
	if method == "" {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	body := append([]byte(c.Body), c.Base64...)
	r, err := http.NewRequestWithContext(ctx, method, w.url+c.Path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	answer, err := w.clients[c.side()].Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all bytes.Buffer
	if meanwhile != nil {
		meanwhile(io.TeeReader(answer.Body, &all))
	}
	_, err = all.ReadFrom(answer.Body)
	header := answer.Header.Clone()
	header.Del("Date")
	if c.streams() {
		// A stream that ends soon may get one all the same.
		header.Del("Content-Length")
	}
	return response{answer.StatusCode, header, all.String(), answer.Trailer, err}
}

package middleware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
)

// recorded returns how often requests were counted, by status.
func recorded(t *testing.T, reader *sdkmetric.ManualReader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || m.Name != "interceptor.request.count" {
				continue
			}
			for _, point := range sum.DataPoints {
				code, _ := point.Attributes.Value(attribute.Key("code"))
				counts[strconv.FormatInt(code.AsInt64(), 10)] += point.Value
			}
		}
	}
	return counts
}

// Every request is recorded once, under the status that is true, and only what
// an operator can act on is logged.
func TestEdgeRecordsARequestOnce(t *testing.T) {
	commit := func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }
	for _, c := range []struct {
		reason string
		step   exchange.HandlerFunc
		status string
		logged bool
		abort  bool
		answer int
	}{
		{"answered", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			w.WriteHeader(http.StatusTeapot)
			return nil
		}, "418", false, false, 418},
		{"nothing written is a 200", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error { return nil }, "200", false, false, 200},
		{"a failure before the commit", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
			return fmt.Errorf("resolving: %w", &clienterror.Error{Status: 504, Message: "late"})
		}, "504", true, false, 504},
		{"a client's mistake is not logged", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
			return &clienterror.Error{Status: 404, Message: "none"}
		}, "404", false, false, 404},
		{"a stalled upload", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
			return fmt.Errorf("waiting: %w", &clienterror.Error{Status: 408, Message: "slow"})
		}, "408", false, false, 408},
		{"a head that is too large", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
			return &clienterror.Error{Status: 431, Message: "large"}
		}, "431", true, false, 431},
		{"an error of ours", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error { return errors.New("odd") }, "500", true, false, 500},
		{"a client that left before the commit", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error { return context.Canceled }, "499", false, true, 200},
		{"a client that left a stream", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			commit(w)
			return fmt.Errorf("%w: %w", http.ErrAbortHandler, context.Canceled)
		}, "499", false, true, 200},
		{"a backend that cut its answer", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			commit(w)
			return fmt.Errorf("%w: %w", http.ErrAbortHandler, io.ErrUnexpectedEOF)
		}, "200", true, true, 200},
		{"a stream whose backend failed", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			commit(w)
			return &clienterror.Error{Status: 429, Message: "too many", Sent: true}
		}, "429", false, false, 200},
		{"a stream that cannot show why its backend failed", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			commit(w)
			return fmt.Errorf("%w: %w", http.ErrAbortHandler, &clienterror.Error{Status: 503, Message: "busy"})
		}, "503", true, true, 200},
		{"a panic before the commit", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error { panic("odd") }, "500", true, false, 500},
		{"an abort", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			commit(w)
			panic(http.ErrAbortHandler)
		}, "200", true, true, 200},
	} {
		t.Run(c.reason, func(t *testing.T) {
			reader := sdkmetric.NewManualReader()
			instruments, err := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), metrics.Gauges{})
			if err != nil {
				t.Fatal(err)
			}
			lines := 0
			log := funcr.New(func(_, args string) {
				if strings.Contains(args, "request failed") {
					lines++
				}
			}, funcr.Options{})
			access := NewAccessLog(io.Discard)
			edge := NewEdge(c.step, EdgeOptions{Metrics: instruments, Access: access, Log: log, Now: time.Now})
			w, aborted := httptest.NewRecorder(), false
			func() {
				defer func() {
					if v := recover(); v != nil {
						aborted = true
					}
				}()
				edge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			got := recorded(t, reader)
			if len(got) != 1 || got[c.status] != 1 {
				t.Errorf("recorded %v, want once %s", got, c.status)
			}
			if len(access.lines) != 1 {
				t.Errorf("%d lines in the access log", len(access.lines))
			}
			if aborted != c.abort || w.Code != c.answer || (lines == 1) != c.logged {
				t.Errorf("aborted %t, answer %d, log lines %d", aborted, w.Code, lines)
			}
		})
	}
}

// A request that found no room for its stream never comes here, and is recorded all the same.
func TestEdgeRecordsRefusedRequests(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	instruments, err := metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), metrics.Gauges{})
	if err != nil {
		t.Fatal(err)
	}
	var lines int
	log := funcr.New(func(string, string) { lines++ }, funcr.Options{})
	edge := NewEdge(nil, EdgeOptions{Metrics: instruments, Log: log, Now: time.Now})
	for range 3 {
		edge.Refused(httptest.NewRequest(http.MethodGet, "/", nil))
	}
	if counts := recorded(t, reader); counts["503"] != 3 || lines != 3 {
		t.Errorf("counted %v, %d lines in the log", counts, lines)
	}
}

func TestAccessLogLine(t *testing.T) {
	var out bytes.Buffer
	l := NewAccessLog(&out)
	r := httptest.NewRequest(http.MethodGet, "/a?b=c", nil)
	r.RemoteAddr = "10.1.2.3:4567"
	r.Header.Set("User-Agent", "evil\"\n10.9.9.9 - - forged")
	l.Log(r, time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC), 200, 12)
	ended, end := context.WithCancel(context.Background())
	end()
	l.Run(ended, logr.Discard())
	const want = `10.1.2.3 - - [22/Nov/2026:03:04:05 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "evil\"\n10.9.9.9 - - forged"` + "\n"
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
}

// A reader of the log that stalls costs lines, not requests.
func TestAccessLogDropsLinesOfASlowReader(t *testing.T) {
	l := NewAccessLog(io.Discard)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for range accessLines + 7 {
		l.Log(r, time.Now(), 200, 0)
	}
	if n := l.dropped.Load(); n != 7 {
		t.Errorf("%d lines were dropped", n)
	}
}

// TestOffersToUpgrade: what a backend never sees.
func TestOffersToUpgrade(t *testing.T) {
	for _, c := range []struct {
		reason     string
		connection string
		upgrade    []string
		want       string
	}{
		{"a WebSocket", "Upgrade", []string{"websocket"}, "websocket"},
		{"in any case, beside other tokens", "keep-alive, upgrade", []string{"WebSocket"}, "WebSocket"},
		{"h2c, as the JDK and curl offer it", "Upgrade, HTTP2-Settings", []string{"h2c"}, ""},
		{"h2c in any case", "Upgrade", []string{"H2C"}, ""},
		{"h2c beside a WebSocket", "Upgrade", []string{"h2c, websocket"}, "websocket"},
		{"h2c in a line of its own", "Upgrade", []string{"websocket", "h2c"}, "websocket"},
		{"TLS on the same connection", "Upgrade", []string{"TLS/1.2, tls/1.0"}, ""},
		{"an offer that Connection does not name", "keep-alive", []string{"websocket"}, ""},
		{"an offer without Connection", "", []string{"websocket"}, ""},
		{"a protocol that nobody knows", "Upgrade", []string{"example/1"}, "example/1"},
		{"nothing", "Upgrade", []string{" , "}, ""},
	} {
		h := http.Header{"Connection": {c.connection}, "Upgrade": c.upgrade, "Http2-Settings": {"AAMAAABkAAQAAP__"}}
		cleanUpgrade(h)
		if got := h.Get("Upgrade"); got != c.want || h["Http2-Settings"] != nil || c.want == "" && h["Upgrade"] != nil {
			t.Errorf("%s: got %v", c.reason, h)
		}
	}
}

// A client that does not read its answer keeps its request in memory, however warm the
// target is.
func TestLargeHeadsAreChargedUntilTheyAreAnswered(t *testing.T) {
	budget := body.NewBudget(20 << 10)
	var held []string
	edge := NewEdge(exchange.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, x *exchange.Exchange) error {
		left := "full"
		if budget.Reserve(10 << 10) {
			budget.Release(10 << 10)
			left = "room"
		}
		held = append(held, fmt.Sprint(left, " ", x.Heads == nil))
		return nil
	}), EdgeOptions{Heads: budget, Metrics: instruments(t), Log: logr.Discard(), Now: time.Now})
	request := func(cookie int) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", strings.Repeat("c", cookie))
		r.Header.Set("Accept", "application/json")
		w := httptest.NewRecorder()
		edge.ServeHTTP(w, r)
		if cookie > largeHead && r.Header != nil {
			t.Errorf("a head of %d bytes outlives its request", cookie)
		}
		return w
	}
	for _, test := range []struct {
		reason, state string
		cookie        int
		status        int
	}{
		{"a small head costs nothing", "room true", 100, 200},
		{"a large one at once", "full false", 15 << 10, 200},
		{"and for no longer", "room true", 100, 200},
		{"one without room", "", 30 << 10, 503},
	} {
		held = nil
		w := request(test.cookie)
		if got := strings.Join(held, ","); got != test.state || w.Code != test.status {
			t.Errorf("%s: got %q and %d, want %q and %d", test.reason, got, w.Code, test.state, test.status)
		}
		if test.status == 503 && (w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("rejected with %v", w.Header())
		}
	}
}

func instruments(t *testing.T) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New(sdkmetric.NewMeterProvider(), metrics.Gauges{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestColdStartHeader is set with the status, whichever step answers, and only if the request
// needed a target.
func TestColdStartHeader(t *testing.T) {
	target := exchange.Upstream{Target: &exchange.Target{}}
	answers := map[string]exchange.HandlerFunc{
		"writes": func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			_, err := w.Write([]byte("a"))
			return err
		},
		"fails": func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
			return &clienterror.Error{Status: 504, Message: "late"}
		},
		"switches": switches,
	}
	for _, c := range []struct {
		reason string
		found  exchange.Exchange
		off    bool
		want   []string
	}{
		{"slept", exchange.Exchange{Cold: true, Upstream: target}, false, []string{"true"}},
		{"slept, and has no endpoint", exchange.Exchange{Cold: true}, false, []string{"true"}},
		{"awake", exchange.Exchange{Upstream: target}, false, []string{"false"}},
		{"awake, and waits for its turn", exchange.Exchange{Awake: true}, false, []string{"false"}},
		{"no target", exchange.Exchange{}, false, nil},
		{"switched off", exchange.Exchange{Cold: true}, true, nil},
	} {
		for how, answer := range answers {
			t.Run(c.reason+", "+how, func(t *testing.T) {
				step := func(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
					x.Cold, x.Awake, x.Upstream = c.found.Cold, c.found.Awake, c.found.Upstream
					w.Header()[coldStartHeader] = []string{"the backend's"}
					if c.want == nil {
						delete(w.Header(), coldStartHeader)
					}
					return answer(w, r, x)
				}
				server := httptest.NewServer(NewEdge(exchange.HandlerFunc(step), EdgeOptions{
					Metrics: instruments(t), Log: logr.Discard(), Now: time.Now, ColdStartHeader: !c.off,
				}))
				defer server.Close()
				response, err := server.Client().Get(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if got := response.Header[coldStartHeader]; !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		}
	}
	for _, value := range [][]string{slept, ready} {
		if len(value) != 1 || cap(value) != 1 {
			t.Errorf("whoever adds a value to %q changes other answers", value)
		}
	}
}

// The interceptor says it with the final status, in place of what a backend's 103 says.
func TestColdStartHeaderOfAnInterimResponse(t *testing.T) {
	step := func(w http.ResponseWriter, _ *http.Request, x *exchange.Exchange) error {
		x.Cold = true
		w.Header()[coldStartHeader] = []string{"the backend's"}
		w.WriteHeader(http.StatusEarlyHints)
		_, err := w.Write([]byte("a"))
		return err
	}
	server := httptest.NewServer(NewEdge(exchange.HandlerFunc(step), EdgeOptions{
		Metrics: instruments(t), Log: logr.Discard(), Now: time.Now, ColdStartHeader: true,
	}))
	defer server.Close()
	interim := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		interim++
		if got := header[coldStartHeader]; got != nil {
			t.Errorf("the interim response says %q", got)
		}
		return nil
	}})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header[coldStartHeader]; interim != 1 || !slices.Equal(got, slept) {
		t.Errorf("%d interim responses, and %q", interim, got)
	}
}

// switches answers as the forwarder does if the backend switches protocols.
func switches(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	response := http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: w.Header()}
	return errors.Join(response.Write(buffered), buffered.Flush())
}

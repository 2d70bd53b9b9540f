package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/testr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMetrics(t *testing.T, prometheus bool) *Metrics {
	t.Helper()
	m, err := NewMetrics(Options{Prometheus: prometheus, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func get(m *Metrics, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestMetricsAreServedAndNothingElse(t *testing.T) {
	m := newMetrics(t, true)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/metrics", http.StatusOK},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
	} {
		if w := get(m, test.method, test.path); w.Code != test.status {
			t.Errorf("%s %s: status %d, want %d", test.method, test.path, w.Code, test.status)
		}
	}
	if body := get(m, http.MethodGet, "/metrics").Body.String(); !strings.Contains(body, "\ngo_goroutines ") {
		t.Error("the Go runtime's metrics are missing")
	}
}

// stuck is a reader that reads nothing.
type stuck struct {
	http.ResponseWriter
	writing chan<- struct{}
	read    <-chan struct{}
}

func (s stuck) Write(b []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.read
	return s.ResponseWriter.Write(b)
}

// Readers that do not read hold as many pages as are allowed, and no more.
func TestScrapesAreBounded(t *testing.T) {
	m := newMetrics(t, true)
	writing, read := make(chan struct{}, 1000), make(chan struct{})
	var readers sync.WaitGroup
	for range maxScrapes {
		readers.Go(func() {
			w := stuck{httptest.NewRecorder(), writing, read}
			m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		})
		<-writing
	}
	if w := get(m, http.MethodGet, "/metrics"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a scrape too many: status %d", w.Code)
	}
	close(read)
	readers.Wait()
	if w := get(m, http.MethodGet, "/metrics"); w.Code != http.StatusOK {
		t.Errorf("after all have read: status %d", w.Code)
	}
}

// The SDK's own limit would fold everything after 2,000 series into one.
func TestNoSeriesIsSwallowed(t *testing.T) {
	const many = 2500
	m := newMetrics(t, true)
	counter, err := m.Provider().Meter("test").Int64Counter("many")
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		counter.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("route", i)))
	}
	body := get(m, http.MethodGet, "/metrics").Body.String()
	if got := strings.Count(body, "\nmany_total{"); got != many {
		t.Errorf("%d series, want %d", got, many)
	}
	if last := fmt.Sprintf("\nmany_total{route=%q} 1\n", fmt.Sprint(many-1)); !strings.Contains(body, last) {
		t.Errorf("the last series is missing: %s", last)
	}
}

// Routes that come and go for years must not use up the memory.
func TestSeriesAreBounded(t *testing.T) {
	m := newMetrics(t, true)
	counter, err := m.Provider().Meter("test").Int64Counter("many")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxSeries + 10 {
		counter.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("route", i)))
	}
	body := get(m, http.MethodGet, "/metrics").Body.String()
	if got := strings.Count(body, "\nmany_total{"); got != maxSeries {
		t.Errorf("%d series, want %d", got, maxSeries)
	}
	if want := "\nmany_total{otel_metric_overflow=\"true\"} 11\n"; !strings.Contains(body, want) {
		t.Errorf("the rest is not counted: %s", want)
	}
}

func TestNothingIsMeasuredWhenOff(t *testing.T) {
	m := newMetrics(t, false)
	if _, err := m.Provider().Meter("test").Int64Counter("any"); err != nil {
		t.Error(err)
	}
	if w := get(m, http.MethodGet, "/metrics"); w.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", w.Code)
	}
}

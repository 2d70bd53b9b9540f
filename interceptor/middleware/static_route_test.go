package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// A wake is ignored if a static route answers while the target sleeps, whatever its mode.
func TestIgnoredWakes(t *testing.T) {
	store := endpoints.NewStore()
	port := store.Port(endpoints.Key{Namespace: "apps", Service: "web", Port: "http"})
	static := func(name, path string, always bool) exchange.StaticRoute {
		return exchange.StaticRoute{
			Name: name, Always: always, Rules: routing.CompileMatcher([]routing.Rule{{Paths: []string{path}}}),
			Response: &exchange.StaticResponse{Status: http.StatusTeapot},
		}
	}
	route := &exchange.Route{
		Namespace: "apps", Name: "web", Target: &exchange.Target{Endpoints: port},
		Static: []exchange.StaticRoute{static("probes", "/healthz", false), static("staticRoutes[1]", "/robots.txt", true)},
	}
	reached := exchange.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
		w.WriteHeader(http.StatusOK)
		return nil
	})
	var ignored []string
	step := NewStaticRoutes(reached, reached, nil, func(_ context.Context, route *exchange.Route, rule string) {
		ignored = append(ignored, route.Name+" "+rule)
	})
	var statuses []int
	ask := func(path string) {
		w := httptest.NewRecorder()
		if err := step.ServeExchange(w, httptest.NewRequest(http.MethodGet, path, nil), &exchange.Exchange{Route: route}); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, w.Code)
	}
	for _, addresses := range [][]string{nil, {"192.0.2.1:80"}} {
		store.Update("apps", "web", map[string][]string{"http": addresses})
		for _, path := range []string{"/healthz", "/robots.txt", "/"} {
			ask(path)
		}
	}
	if want := []int{418, 418, 200, 200, 418, 200}; !slices.Equal(statuses, want) {
		t.Errorf("answers %v, want %v", statuses, want)
	}
	if got, want := fmt.Sprint(ignored), "[web probes web staticRoutes[1]]"; got != want {
		t.Errorf("ignored %s, want %s", got, want)
	}
}

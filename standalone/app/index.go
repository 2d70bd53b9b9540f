package app

import (
	_ "embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
)

//go:embed index.html
var indexSource string

// index is the page of this machine's own name, unless a route has it: every route, its
// state, and what to try. It is safe for concurrent use.
type index struct {
	template             *template.Template
	store                *endpoints.Store
	tracker              *inflight.Tracker
	proxyPort, adminPort string
	routes               atomic.Pointer[[]served]
}

func newIndex(store *endpoints.Store, tracker *inflight.Tracker) *index {
	return &index{template: template.Must(template.New("index").Parse(indexSource)), store: store, tracker: tracker}
}

// listed is a route on the page.
type listed struct {
	Name, Target, State, Detail string
	Problems                    []string
	Try                         attempt
}

// serve answers a request that no route matches, if it is for the page.
func (x *index) serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.Path != "/" || !thisMachine(r.Host) {
		return false
	}
	content := struct {
		Routes    []listed
		AdminPort string
	}{AdminPort: x.adminPort}
	if routes := x.routes.Load(); routes != nil {
		for i := range *routes {
			content.Routes = append(content.Routes, x.list(&(*routes)[i]))
		}
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	_ = x.template.Execute(w, content) // only a client that left makes it fail
	return true
}

// list returns what the page shows of a route now.
func (x *index) list(s *served) listed {
	l := listed{Name: s.name(), Target: s.route.Spec.Target.Service, Problems: s.worse}
	if len(s.broken) > 0 {
		l.State, l.Problems = "not served", s.broken
		return l
	}
	l.Try = invitation(s, x.proxyPort)
	count := x.tracker.Counts()[s.name()]
	switch ready := x.store.Port(s.port).Count(); {
	case ready > 0:
		l.State, l.Detail = "awake", fmt.Sprintf("%d ready, %d in flight", ready, count.Concurrency)
	case count.Cold:
		l.State, l.Detail = "waking", fmt.Sprintf("%d waiting", count.Concurrency)
	default:
		l.State = "asleep"
	}
	return l
}

// thisMachine reports whether a Host names this machine and nothing else. Pages of
// strangers cannot read answers for such a host.
func thisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}

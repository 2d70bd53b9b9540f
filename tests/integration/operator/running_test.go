package operator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kedacore/http-add-on/operator/app"
	"github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/tests/support/capture"
)

// process is an operator that runs, and its line to the API server.
type process struct {
	stop  context.CancelFunc
	ended chan error

	mu  sync.Mutex
	cut bool
	// requests are those that changed something or asked who leads: "METHOD path".
	requests capture.Log
}

const leases = "/leases/"

// start starts an operator as a user.
func start(cfg config.Config, log *capture.Log, as rest.ImpersonationConfig) *process {
	GinkgoHelper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{stop: stop, ended: make(chan error, 1)}
	user := rest.CopyConfig(cluster.Config)
	user.Impersonate = as
	user.Wrap(func(to http.RoundTripper) http.RoundTripper {
		return line(func(r *http.Request) (*http.Response, error) { return p.send(to, r) })
	})
	operator, err := app.New(ctx, cfg, user, log.Logger(0, func(line string) { fmt.Fprintln(GinkgoWriter, line) }))
	Expect(err).NotTo(HaveOccurred())
	go func() { p.ended <- operator.Run(ctx) }()
	return p
}

// run runs an operator as a user until the spec ends.
func run(cfg config.Config, log *capture.Log, as rest.ImpersonationConfig) {
	GinkgoHelper()
	DeferCleanup(start(cfg, log, as).end)
}

// end stops the operator, which gives up its lease.
func (p *process) end() {
	GinkgoHelper()
	p.stop()
	Expect(<-p.ended).To(Succeed())
}

// vanish ends the operator as a killed process ends, as far as others can see. It no longer
// reaches the API server, so that its lease runs out.
func (p *process) vanish() {
	GinkgoHelper()
	p.mu.Lock()
	p.cut = true
	p.mu.Unlock()
	Expect(<-p.ended).To(MatchError(ContainSubstring("leader election lost")))
	p.stop()
}

type line func(*http.Request) (*http.Response, error)

func (l line) RoundTrip(r *http.Request) (*http.Response, error) { return l(r) }

// send sends a request, and notes it if it has changed something or asks who leads.
// What the API server refuses, as the cache lags behind, changes nothing.
func (p *process) send(to http.RoundTripper, r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	cut := p.cut
	p.mu.Unlock()
	if cut {
		return nil, errors.New("the line is cut")
	}
	response, err := to.RoundTrip(r)
	if err != nil || response.StatusCode >= http.StatusBadRequest || r.Method == http.MethodGet && !strings.Contains(r.URL.Path, leases) {
		return response, err
	}
	p.requests.Add(r.Method + " " + r.URL.Path)
	return response, nil
}

// reconciliations is how often the controllers of this process have reconciled, by
// their name.
func reconciliations() map[string]float64 {
	GinkgoHelper()
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "controller" {
					counts[label.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return counts
}

package scenario

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/load"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// churnRate is how many requests a second are sent meanwhile.
const churnRate = 2000

// Churn is what many routes cost, at rest and while they change.
type Churn struct {
	// Routes there are, and Changes of them a second.
	Routes, Changes int
	// Start is the time from the start of the process to the first table, and
	// StartCPU its processor time.
	Start, StartCPU time.Duration
	// RSS at rest, and Peak while routes changed; in bytes.
	RSS, Peak int64
	// Effect is the median time from a change to the first request that it serves,
	// while nothing else changes.
	Effect time.Duration
	// RestP99 and ChangeP99 are latencies of requests at a steady rate.
	RestP99, ChangeP99 time.Duration
	// CPU is processor time a change, beyond what the same requests cost at rest.
	CPU time.Duration
}

// ChangeRoutes starts an interceptor with so many routes, and changes them at a
// steady pace under a steady load. The backend is a role.Backend.
func ChangeRoutes(routes, changes int, d time.Duration, backend *role.Server, cores ...int) (Churn, error) {
	result := Churn{Routes: routes, Changes: changes}
	begun := time.Now()
	p, err := role.Start(role.Interceptor, role.InterceptorOptions{Services: []string{"app"}, Routes: routes, Metrics: true}, cores...)
	if err != nil {
		return result, err
	}
	defer p.Stop()
	if err := p.Wait("/started", 1); err != nil {
		return result, err
	}
	result.Start = time.Since(begun)
	if result.StartCPU, err = p.CPU(); err != nil {
		return result, err
	}
	if err := p.Ready("app", backend.Addresses["fast"]); err != nil {
		return result, err
	}
	if result.Effect, err = effect(p); err != nil {
		return result, err
	}
	if result.RSS, err = p.Ask("/memory"); err != nil {
		return result, err
	}
	if err := p.ResetPeak(); err != nil {
		return result, err
	}
	generator, err := load.NewHTTP1(p.Proxy(), []byte("GET /b/1024 HTTP/1.1\r\nHost: app\r\n\r\n"), 50)
	if err != nil {
		return result, err
	}
	defer generator.Close()

	run := func() (load.Result, time.Duration, error) {
		before, err := p.Ask("/cpu")
		if err != nil {
			return load.Result{}, 0, err
		}
		r := generator.Run(d, churnRate)
		after, err := p.Ask("/cpu")
		if err == nil && r.Failed > 0 {
			err = fmt.Errorf("%d requests failed: %w", r.Failed, r.Err)
		}
		return r, time.Duration(after - before), err
	}
	rest, restCPU, err := run()
	if err != nil {
		return result, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan int)
	go func() { sent <- change(ctx, p, routes, changes) }()
	changing, changingCPU, err := run()
	cancel()
	n := <-sent
	if err != nil {
		return result, err
	}
	if n == 0 {
		return result, fmt.Errorf("no route was changed in %s", d)
	}
	result.RestP99, result.ChangeP99 = rest.Percentile(0.99), changing.Percentile(0.99)
	result.CPU = (changingCPU - restCPU) / time.Duration(n)
	result.Peak, err = p.PeakRSS()
	return result, err
}

// change changes one route after the other until ctx ends, and returns how many.
func change(ctx context.Context, p *role.Server, routes, perSecond int) int {
	const step = 20 * time.Millisecond
	each := max(perSecond*int(step)/int(time.Second), 1)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	changed := 0
	for {
		select {
		case <-ctx.Done():
			return changed
		case <-ticker.C:
			if _, err := p.Ask(fmt.Sprintf("/change?from=%d&routes=%d&generation=%d", changed%routes, each, 2+changed/routes)); err != nil {
				return changed
			}
			changed += each
		}
	}
}

// effect changes one route after the other and asks for its new host until it is
// served.
func effect(p *role.Server) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var took []time.Duration
	for n := range 5 {
		begun := time.Now()
		if _, err := p.Ask(fmt.Sprintf("/change?from=%d&routes=1&generation=1", n)); err != nil {
			return 0, err
		}
		for {
			served, err := status(ctx, p.Proxy(), role.RouteHost(n, 1))
			if err != nil {
				return 0, err
			}
			if served == http.StatusOK {
				break
			}
		}
		took = append(took, time.Since(begun))
	}
	return Median(took, func(d time.Duration) time.Duration { return d }), nil
}

func status(ctx context.Context, address, host string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/b/0", nil)
	if err != nil {
		return 0, err
	}
	r.Host = host
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

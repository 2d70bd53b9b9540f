// Package collect gathers the counts of every interceptor into a demand.Aggregate. It watches
// interceptors that stream their counts and polls the others. It must not know how interceptors
// are found, nor how the counts are used.
package collect

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
)

// Options configures a Collector.
type Options struct {
	// Demand that takes the counts. Required.
	Demand *demand.Aggregate
	// PollInterval is the time between two polls of an interceptor that does not stream.
	PollInterval time.Duration
	// Timeout bounds one poll, and each attempt to connect.
	Timeout time.Duration
	// DialContext opens connections; nil is net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Meters makes the instruments. Required.
	Meters metric.MeterProvider
	// Traces of the fetches; nil records none.
	Traces trace.TracerProvider
	// Log receives lines about interceptors that come, go and fail.
	Log logr.Logger
	// Service and Deployment ("namespace/name") name where interceptors should come from. The log
	// shows them if there are no interceptors.
	Service, Deployment string
}

// settleTimeout is how long an interceptor that does not report keeps a new scaler from
// answering. The scaler waits because KEDA takes the sums as complete. The time must suffice for
// the network of a new pod to come up, and for a small container to read some hundred snapshots.
const settleTimeout = 3 * time.Second

// headerTimeout bounds the wait for a stream to begin.
const headerTimeout = 5 * time.Second

// Collector reads from the interceptors that are listed. Its methods are safe for concurrent use.
type Collector struct {
	options Options
	http    *http.Client
	watch   queue.Client
	metrics *measurements
	changed chan struct{}
	ready   chan struct{}

	mu     sync.Mutex
	listed map[string]string // identity → address
	synced bool              // listed is complete
}

// New returns a Collector that connects to no interceptor until Run.
func New(o Options) (*Collector, error) {
	metrics, err := newMeasurements(o.Meters)
	if err != nil {
		return nil, err
	}
	dial := o.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	// No proxy: these are addresses of pods.
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, o.Timeout)
			defer cancel()
			return dial(ctx, network, address)
		},
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   1,
		DisableCompression:    true,
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.Traces != nil {
		client.Transport = newTraced(transport, o.Traces)
	}
	return &Collector{
		options: o, http: client, watch: queue.Client{HTTP: client}, metrics: metrics,
		changed: make(chan struct{}, 1), ready: make(chan struct{}),
	}, nil
}

// List sets which interceptors exist now. The map holds addresses (host:port of their admin
// ports) by identity; a new process at the same address has another identity. The last report of
// an interceptor counts as long as it is listed. The Collector owns the map from then on.
func (c *Collector) List(addresses map[string]string) {
	c.mu.Lock()
	c.listed = addresses
	c.mu.Unlock()
	c.wake()
}

// Synced is called once, after every interceptor that existed at the start is listed.
func (c *Collector) Synced() {
	c.mu.Lock()
	c.synced = true
	c.mu.Unlock()
	c.wake()
}

// Ready returns a channel that is closed once the sums are not too small. Every interceptor that
// was listed at the start has then reported, or has failed to do so in time.
func (c *Collector) Ready() <-chan struct{} { return c.ready }

// Run hears the interceptors until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer c.http.CloseIdleConnections()
	defer running.Wait()
	defer cancel()

	interceptors := make(map[string]*interceptor) // owned by this goroutine
	alone := false
	for complete := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		}
		c.mu.Lock()
		listed, synced := c.listed, c.synced
		c.mu.Unlock()
		for identity, i := range interceptors {
			if listed[identity] != i.address {
				i.cancel()
				delete(interceptors, identity)
			}
		}
		for identity, address := range listed {
			if i := interceptors[identity]; i != nil {
				i.hurry() // the interceptor may have become ready
				continue
			}
			i := c.interceptor(ctx, address)
			interceptors[identity] = i
			running.Go(i.run)
		}
		c.metrics.listed.Store(int64(len(interceptors)))
		if none := synced && len(interceptors) == 0; none != alone {
			alone = none
			c.logAlone(alone)
		}
		if synced && !complete {
			complete = true
			atStart := slices.Collect(maps.Values(interceptors))
			running.Go(func() {
				for _, i := range atStart {
					<-i.settled
				}
				close(c.ready)
			})
		}
	}
}

// logAlone logs that no interceptor is listed, or that one is again. Nothing else shows it: all
// routes seem idle, and no call fails.
func (c *Collector) logAlone(alone bool) {
	log := c.options.Log.WithValues("service", c.options.Service, "object", "Deployment "+c.options.Deployment)
	if alone {
		log.Info("the Service lists no interceptor, so all routes seem idle; check that the Deployment has replicas, and its name and namespace")
	} else {
		log.Info("the Service lists interceptors again")
	}
}

func (c *Collector) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

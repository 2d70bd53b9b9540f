package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
)

const (
	// The wait before the next attempt doubles between these.
	minRetry, maxRetry = 50 * time.Millisecond, 2 * time.Second
	// While the scaler waits for the first report, it retries more often. Otherwise a pause could
	// use up the time that the interceptor has for that.
	maxFirstRetry = 300 * time.Millisecond
	// maxBody bounds how much the scaler reads from a polled interceptor: some 200,000 routes.
	maxBody = 32 << 20
)

// interceptor is one that is listed. All fields except settled and hurried belong to run.
type interceptor struct {
	collector *Collector
	address   string
	url       string
	demand    *demand.Interceptor
	log       logr.Logger
	ctx       context.Context
	cancel    context.CancelFunc
	failing   bool
	retry     time.Duration
	hurried   chan struct{} // ends the current or the next pause

	// settle closes settled: the interceptor has reported, or timed out.
	settled chan struct{}
	settle  func()
}

func (c *Collector) interceptor(ctx context.Context, address string) *interceptor {
	settled := make(chan struct{})
	i := &interceptor{
		collector: c, address: address, url: "http://" + address + queue.Path,
		demand: c.options.Demand.Interceptor(), log: c.options.Log.WithValues("address", address),
		retry: minRetry, hurried: make(chan struct{}, 1), settled: settled, settle: sync.OnceFunc(func() { close(settled) }),
	}
	i.ctx, i.cancel = context.WithCancel(ctx)
	return i
}

// run reads the interceptor's reports until it is canceled.
func (i *interceptor) run() {
	defer i.cancel()
	defer i.demand.Close()
	defer i.reachable()
	defer i.settle()
	defer time.AfterFunc(settleTimeout, i.settle).Stop()
	for {
		err := i.watch()
		if errors.Is(err, queue.ErrNoWatch) {
			i.log.V(1).Info("polling the interceptor: it does not stream its counts")
			err = i.poll()
		}
		if i.ctx.Err() != nil {
			return
		}
		i.failed(err)
		if !i.wait(i.retry/2 + rand.N(i.retry)) {
			return
		}
		i.retry = min(2*i.retry, i.longestRetry())
	}
}

func (i *interceptor) longestRetry() time.Duration {
	select {
	case <-i.settled:
		return maxRetry
	default:
		return maxFirstRetry
	}
}

// watch hears the stream until it breaks.
func (i *interceptor) watch() error {
	start := time.Now()
	first := true
	return i.collector.watch.Watch(i.ctx, i.url, func(e queue.Event) {
		i.demand.Apply(e)
		if first {
			first = false
			i.heard(start)
		}
	})
}

// poll polls until a poll fails. After that, run checks again whether the interceptor streams,
// because another one may have taken its place.
func (i *interceptor) poll() error {
	tick := time.NewTicker(i.collector.options.PollInterval)
	defer tick.Stop()
	for {
		start := time.Now()
		counts, err := i.fetch()
		if err != nil {
			return err
		}
		i.demand.Apply(queue.Event{Type: queue.Snapshot, Counts: counts})
		i.heard(start)
		select {
		case <-i.ctx.Done():
			return i.ctx.Err()
		case <-tick.C:
		}
	}
}

// fetch looks once, as 0.16 did.
func (i *interceptor) fetch() (queue.Counts, error) {
	ctx, cancel := context.WithTimeout(i.ctx, i.collector.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return nil, fmt.Errorf("requesting the counts: %w", err)
	}
	response, err := i.collector.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("requesting the counts: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // nothing to lose
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("requesting the counts: status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("reading the counts: %w", err)
	}
	var counts queue.Counts
	if err := json.Unmarshal(body, &counts); err != nil {
		return nil, fmt.Errorf("decoding the counts: %w", err)
	}
	for route, count := range counts {
		if count.Concurrency < 0 || count.RequestCount < 0 {
			return nil, fmt.Errorf("decoding the counts: negative count of route %.100q", route)
		}
	}
	return counts, nil
}

// heard notes that all counts are known.
func (i *interceptor) heard(start time.Time) {
	i.collector.metrics.fetched(i.ctx, time.Since(start))
	i.retry = minRetry
	if i.failing {
		i.log.Info("reached the interceptor again")
	}
	i.reachable()
	i.settle()
}

// failed records why the reports stopped. An interceptor that is about to go ends its stream
// properly; if it is gone for good, the next List leaves it out.
func (i *interceptor) failed(err error) {
	i.collector.metrics.errors.Add(i.ctx, 1)
	if i.failing || errors.Is(err, io.EOF) {
		return
	}
	i.failing = true
	i.collector.metrics.unreachable.Add(1)
	i.log.Info("cannot reach the interceptor; its last counts are kept while it is listed", "reason", err.Error())
}

// reachable ends failing.
func (i *interceptor) reachable() {
	if i.failing {
		i.failing = false
		i.collector.metrics.unreachable.Add(-1)
	}
}

// hurry retries an interceptor at once if it does not report.
func (i *interceptor) hurry() {
	select {
	case i.hurried <- struct{}{}:
	default:
	}
}

// wait returns false if the interceptor was canceled first.
func (i *interceptor) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-i.ctx.Done():
		return false
	case <-i.hurried:
		return true
	case <-timer.C:
		return true
	}
}

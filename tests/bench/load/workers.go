package load

import (
	"context"
	"sync"
	"time"
)

// Exchange sends one request, or message, and reads its answer.
type Exchange func() error

// workers runs an Exchange on a goroutine for each connection: for protocols
// that a byte string does not speak.
type workers struct {
	exchanges []Exchange
	closers   []func()
}

// NewWorkers returns a Generator of n workers. open connects one of them and
// returns its Exchange, and what closes it.
func NewWorkers(n int, open func(n int) (Exchange, func(), error)) (Generator, error) {
	w := &workers{}
	for i := range n {
		exchange, closer, err := open(i)
		if err != nil {
			w.Close()
			return nil, err
		}
		w.exchanges = append(w.exchanges, exchange)
		w.closers = append(w.closers, closer)
	}
	return w, nil
}

// Run implements Generator.
func (w *workers) Run(d time.Duration, rate float64) Result {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	begun := time.Now()
	due := schedule(ctx, begun, rate)
	parts := make([]Result, len(w.exchanges))
	var running sync.WaitGroup
	for i, exchange := range w.exchanges {
		part := &parts[i]
		running.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				if due != nil {
					at, ok := <-due
					if !ok {
						return
					}
					start = at
				}
				if err := exchange(); err != nil {
					part.fail(err)
					return // what it has read is not known
				}
				part.done(time.Since(start))
			}
		})
	}
	running.Wait()
	var all Result
	for _, part := range parts {
		all.Done += part.Done
		all.Failed += part.Failed
		if part.Err != nil {
			all.Err = part.Err // one is enough
		}
		all.Latencies = append(all.Latencies, part.Latencies...)
	}
	all.finish(begun)
	return all
}

// schedule sends the times at which requests are due; it is nil in a closed loop.
func schedule(ctx context.Context, begun time.Time, rate float64) <-chan time.Time {
	if rate <= 0 {
		return nil
	}
	// Late workers find what they have missed.
	due := make(chan time.Time, 1<<16)
	go func() {
		defer close(due)
		timer := time.NewTimer(0)
		defer timer.Stop()
		for n := 0; ; n++ {
			at := begun.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			timer.Reset(time.Until(at))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			select {
			case due <- at:
			case <-ctx.Done():
				return
			}
		}
	}()
	return due
}

// Close implements Generator.
func (w *workers) Close() {
	for _, closer := range w.closers {
		closer()
	}
}

package role

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/pkg/queue"
)

// FleetOptions is the size of a Fleet.
type FleetOptions struct {
	// Interceptors each have a port, and report Routes.
	Interceptors, Routes int
}

func fleetRoute(n int) string { return fmt.Sprintf("route-%d", n) }

// fleet is what a scaler sees of many interceptors: real in-flight trackers behind
// the real /queue, without the proxies in front. Its control port makes requests
// begin and end (/load?rate=), counts them (/changes) and its readers (/readers).
//
// One tracker with all routes serves every port. To the scaler, that is as many
// interceptors whose routes change at the same moments.
func (s *stage) fleet() (func(context.Context) error, error) {
	var o FleetOptions
	if err := options(&o); err != nil {
		return nil, err
	}
	tracker := inflight.NewTracker(nil)
	routes := make([]*inflight.Route, o.Routes)
	for n := range routes {
		routes[n] = tracker.Route("default/" + fleetRoute(n))
	}
	var changes, readers atomic.Int64
	rates := make(chan int, 1)
	s.control.HandleFunc("/load", func(w http.ResponseWriter, r *http.Request) {
		rate, err := strconv.Atoi(r.URL.Query().Get("rate"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		rates <- rate
	})
	s.number("/changes", changes.Load)
	s.number("/readers", readers.Load)
	s.number("/started", func() int64 { return 1 })

	done := make(chan struct{})
	var servers []*http.Server
	var serving sync.WaitGroup
	for n := range o.Interceptors {
		l, err := s.listen("interceptor-" + strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		handler := queue.NewHandler(tracker, done) // each bounds its own readers
		mux := http.NewServeMux()
		mux.HandleFunc(queue.Path, func(w http.ResponseWriter, r *http.Request) {
			readers.Add(1)
			defer readers.Add(-1)
			handler.ServeHTTP(w, r)
		})
		server := &http.Server{Handler: mux}
		servers = append(servers, server)
		serving.Go(func() { _ = server.Serve(l) }) // until it is closed
	}
	return func(ctx context.Context) error {
		beginAndEnd(ctx, routes, rates, &changes)
		close(done)
		var failed error
		for _, server := range servers {
			failed = errors.Join(failed, server.Close())
		}
		serving.Wait()
		return failed
	}, nil
}

// beginAndEnd makes a request of one route after the other begin, and end a round
// of all routes later, so many a second.
func beginAndEnd(ctx context.Context, routes []*inflight.Route, rates <-chan int, changes *atomic.Int64) {
	const step = 10 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	releases := make([]func(), len(routes))
	rate, due, next := 0, 0.0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case rate = <-rates:
			due = 0
		case <-ticker.C:
			for due += float64(rate) * step.Seconds(); due >= 1; due-- {
				if release := releases[next]; release != nil {
					release()
					releases[next] = nil
				} else {
					releases[next] = routes[next].Acquire()
				}
				next = (next + 1) % len(routes)
				changes.Add(1)
			}
		}
	}
}

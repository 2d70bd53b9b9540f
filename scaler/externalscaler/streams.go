package externalscaler

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// StreamIsActive implements pb.ExternalScalerServer. It only ever sends true: KEDA takes
// inactivity from IsActive only. A route that does not exist has a stream too. Otherwise KEDA
// would take up to a minute to reopen the stream, and a recreated route would wake late. The
// other calls report that the route is missing.
func (s *Server) StreamIsActive(ref *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.IsActiveResponse]) error {
	t, err := parse(ref)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	if ended, err := s.until(ctx, s.ready); ended {
		return err
	}
	active, cancel := s.pacer.subscribe(t.key())
	defer cancel()
	for {
		if ended, err := s.until(ctx, active); ended {
			return err
		}
		if err := stream.Send(&pb.IsActiveResponse{Result: true}); err != nil {
			return err
		}
	}
}

// StreamMetricSpec implements pb.ExternalScalerServer. It sends the metrics now and at every
// change.
func (s *Server) StreamMetricSpec(ref *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.GetMetricSpecResponse]) error {
	t, err := parse(ref)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	if ended, err := s.until(ctx, s.routes.synced); ended {
		return err
	}
	watch, cancel := s.routes.watch(t.routeRef)
	defer cancel()
	var sent []metric
	for {
		changed := watch() // before the lookup, so that no change is lost in between
		// If an object is unusable, KEDA keeps the metrics that it has.
		if metrics, err := s.metrics(t); err == nil && !slices.Equal(metrics, sent) {
			if err := stream.Send(specs(metrics)); err != nil {
				return err
			}
			sent = metrics
		}
		if ended, err := s.until(ctx, changed); ended {
			return err
		}
	}
}

// until waits for a signal, and reports whether the stream ended first.
func (s *Server) until(ctx context.Context, signal <-chan struct{}) (ended bool, err error) {
	select {
	case <-s.stopped:
		return true, nil
	case <-ctx.Done():
		return true, status.FromContextError(ctx.Err()).Err()
	case <-signal:
		return false, nil
	}
}

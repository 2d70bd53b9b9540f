package app

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// These bound what any client of the gRPC port may use, because KEDA does not authenticate. KEDA
// has one connection with two streams per ScaledObject, and the kubelet one connection per probe.
const (
	// maxConnections bounds the open connections; further ones wait to be accepted.
	maxConnections = 128
	// maxCalls bounds the concurrent calls that are not streams, so that streams leave room for
	// probes and polls. Each has to end within callTimeout.
	maxCalls, callTimeout = 256, 30 * time.Second
	// maxMessage is the size of the largest message that the server reads. The metadata of a
	// trigger is far smaller.
	maxMessage = 64 << 10
	// maxMetadata is the size of the largest header list that the server reads.
	maxMetadata = 8 << 10
	// streamWindow is the smallest window that grpc-go allows. Setting it keeps windows from
	// growing with the bandwidth.
	streamWindow = 64 << 10
	// handshakeTimeout bounds the time until a connection speaks HTTP/2.
	handshakeTimeout = 10 * time.Second
	// idleTimeout closes connections without a call.
	idleTimeout = 5 * time.Minute
)

// limits returns the options of a gRPC server that serves at most this many streams at a time.
func limits(streams int) []grpc.ServerOption {
	open := &calls{maxStreams: int64(streams), maxOthers: maxCalls}
	return []grpc.ServerOption{
		grpc.InTapHandle(open.admit),
		grpc.MaxConcurrentStreams(uint32(streams + maxCalls)),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(streamWindow),
		grpc.ConnectionTimeout(handshakeTimeout),
		// Detects a KEDA that has vanished, and ends its streams.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 15 * time.Second, MaxConnectionIdle: idleTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// limited returns a listener that accepts at most maxConnections connections at a time.
func limited(l net.Listener) net.Listener { return netutil.LimitListener(l, maxConnections) }

// calls counts the open calls of all connections.
type calls struct {
	streams, others       atomic.Int64
	maxStreams, maxOthers int64
}

// admit refuses a call beyond the limit before the server allocates anything for it. It returns
// the context of the call.
func (c *calls) admit(ctx context.Context, call *tap.Info) (context.Context, error) {
	open, most, cancel := &c.streams, c.maxStreams, context.CancelFunc(func() {})
	switch call.FullMethodName {
	case pb.ExternalScaler_StreamIsActive_FullMethodName, pb.ExternalScaler_StreamMetricSpec_FullMethodName, healthv1.Health_Watch_FullMethodName:
	default:
		// The call may still wait for its message.
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		open, most = &c.others, c.maxOthers
	}
	if open.Add(1) > most {
		open.Add(-1)
		cancel()
		return nil, status.Errorf(codes.ResourceExhausted, "too many open calls of this kind; the limit is %d", most)
	}
	context.AfterFunc(ctx, func() {
		open.Add(-1)
		cancel()
	})
	return ctx, nil
}

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

// What everybody who reaches the gRPC port may take, as KEDA is not authenticated. KEDA has
// one connection with two streams for each ScaledObject, and the kubelet one connection for
// each probe.
const (
	// maxConnections that are open at a time; others wait to be accepted.
	maxConnections = 128
	// maxCalls that are not streams, at a time, so that streams leave room for probes and
	// polls. They have callTimeout to end.
	maxCalls, callTimeout = 256, 30 * time.Second
	// maxMessage is the largest message that is read: the metadata of a trigger is far below.
	maxMessage = 64 << 10
	// maxMetadata is the largest list of headers that is read.
	maxMetadata = 16 << 10
	// streamWindow is the smallest window that grpc-go has. Setting it keeps windows from
	// growing with the bandwidth.
	streamWindow = 64 << 10
	// handshakeTimeout bounds the time until a connection speaks HTTP/2.
	handshakeTimeout = 10 * time.Second
	// idleTimeout closes connections without a call.
	idleTimeout = 5 * time.Minute
)

// limits are the options of a gRPC server that serves so many streams at a time.
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
		// A KEDA that has vanished is found, and its streams end.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 15 * time.Second, MaxConnectionIdle: idleTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// limited returns a listener that accepts as many connections as may be open.
func limited(l net.Listener) net.Listener { return netutil.LimitListener(l, maxConnections) }

// calls counts the calls that are open on all connections.
type calls struct {
	streams, others       atomic.Int64
	maxStreams, maxOthers int64
}

// admit refuses a call that is one too many, before anything is allocated for it. The
// context that it returns is the call's.
func (c *calls) admit(ctx context.Context, call *tap.Info) (context.Context, error) {
	open, most, cancel := &c.streams, c.maxStreams, context.CancelFunc(func() {})
	switch call.FullMethodName {
	case pb.ExternalScaler_StreamIsActive_FullMethodName, pb.ExternalScaler_StreamMetricSpec_FullMethodName, healthv1.Health_Watch_FullMethodName:
	default:
		// It may wait for its message, which has not come yet.
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		open, most = &c.others, c.maxOthers
	}
	if open.Add(1) > most {
		open.Add(-1)
		cancel()
		return nil, status.Errorf(codes.ResourceExhausted, "as many calls of this kind are open as may be: %d", most)
	}
	context.AfterFunc(ctx, func() {
		open.Add(-1)
		cancel()
	})
	return ctx, nil
}

package app

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// The server refuses streams beyond the bound, on any connection, while polls and probes go on. A
// stream that ends makes room.
func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t, 1, 1)
	(<-w.sink).SetRoute(interceptorRoute(0))
	close(w.synced)
	w.awaitReady(t)
	connection, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	other := pb.NewExternalScalerClient(connection)
	first, leave := context.WithCancel(t.Context())
	defer leave()
	// The route's metrics prove that the stream is open.
	open := func(ctx context.Context, client pb.ExternalScalerClient) error {
		stream, err := client.StreamMetricSpec(ctx, ref(0))
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	if err := open(first, other); err != nil {
		t.Fatal(err)
	}
	for n := range maxStreams {
		// The probe of awaitReady may not have ended yet.
		err = open(t.Context(), other)
		if err != nil {
			if n < maxStreams-2 {
				t.Errorf("stream %d: %v", n+2, err)
			}
			break
		}
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one stream too many: %v", err)
	}
	if err = open(t.Context(), w.keda); err == nil { // the probe has ended meanwhile
		err = open(t.Context(), w.keda)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one stream too many on another connection: %v", err)
	}
	if _, err := other.IsActive(t.Context(), ref(0)); err != nil {
		t.Errorf("a poll beside all streams: %v", err)
	}
	if got := w.checked(t, HealthReadiness); got != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("readiness is %v beside all streams", got)
	}
	leave()
	for begun := time.Now(); open(t.Context(), other) != nil; {
		if time.Since(begun) > time.Minute {
			t.Fatal("a stream that ended makes no room")
		}
	}
}

func TestMessagesAndMetadataAreBounded(t *testing.T) {
	w := newWorld(t, 1, 1)
	(<-w.sink).SetRoute(interceptorRoute(0))
	close(w.synced)
	w.awaitReady(t)
	large := ref(0)
	large.ScalerMetadata["more"] = strings.Repeat("x", maxMessage)
	if _, err := w.keda.IsActive(t.Context(), large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message over the bound: %v", err)
	}
	large.ScalerMetadata["more"] = strings.Repeat("x", maxMessage/2)
	if _, err := w.keda.IsActive(t.Context(), large); err != nil {
		t.Errorf("a message below the bound: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "more", strings.Repeat("x", maxMetadata))
	if _, err := w.keda.IsActive(ctx, ref(0)); err == nil {
		t.Error("metadata over the bound are read")
	}
	ctx = metadata.AppendToOutgoingContext(t.Context(), "more", strings.Repeat("x", maxMetadata/2))
	if _, err := w.keda.IsActive(ctx, ref(0)); err != nil {
		t.Errorf("metadata below the bound: %v", err)
	}
}

// A connection beyond the bound is served once another one ends.
func TestConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, 1, 1)
	(<-w.sink).SetRoute(interceptorRoute(0))
	close(w.synced)
	w.awaitReady(t)
	address := strings.TrimPrefix(w.address, "passthrough:///")
	dial := func() net.Conn {
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		return connection
	}
	var all []net.Conn
	for range maxConnections - 1 { // awaitReady has one
		all = append(all, dial())
	}
	late := dial()
	greeted := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(late, make([]byte, 9)) // a frame's head: the settings
		greeted <- err
	}()
	// The last one within the bound was accepted before the one behind it.
	if _, err := io.ReadFull(all[len(all)-1], make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-greeted:
		t.Fatalf("a connection over the bound is served (%v)", err)
	case <-time.After(100 * time.Millisecond): // nothing tells that it waits
	}
	_ = all[0].Close()
	if err := <-greeted; err != nil {
		t.Errorf("a connection that had to wait: %v", err)
	}
}

// A unary call ends, whatever its client does or leaves out.
func TestCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := calls{maxStreams: 1, maxOthers: 1}
		admit := func(method string) (context.Context, error) {
			return c.admit(t.Context(), &tap.Info{FullMethodName: method})
		}
		for _, method := range []string{pb.ExternalScaler_IsActive_FullMethodName, healthv1.Health_Check_FullMethodName, "/unknown"} {
			ctx, err := admit(method)
			if err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			if _, err := admit(method); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s, a second one: %v", method, err)
			}
			begun := time.Now()
			<-ctx.Done()
			if took := time.Since(begun); took != callTimeout {
				t.Errorf("%s ended after %s", method, took)
			}
			synctest.Wait()
		}
		stream, err := admit(pb.ExternalScaler_StreamIsActive_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		if _, bounded := stream.Deadline(); bounded {
			t.Error("a stream must not end by itself")
		}
	})
}

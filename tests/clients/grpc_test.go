package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// note is a message of the server in node/apps/grpc.js, which speaks JSON.
type note struct {
	N    int        `json:"n,omitempty"`
	Fail codes.Code `json:"fail,omitempty"`
}

type noteCodec struct{}

func (noteCodec) Name() string                  { return "proto" } // as the server calls whatever it gets
func (noteCodec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }
func (noteCodec) Unmarshal(data []byte, v any) error {
	return json.NewDecoder(bytes.NewReader(data)).Decode(v)
}

// sleepingGRPC returns a connection to a gRPC server that sleeps.
func sleepingGRPC(t *testing.T, spec, delay string) *grpc.ClientConn {
	t.Helper()
	node, err := filepath.Abs(filepath.Join("node", nodeBinary))
	if err != nil {
		t.Fatal(err)
	}
	server, err := filepath.Abs(filepath.Join("node", "apps", "grpc.js"))
	if err != nil {
		t.Fatal(err)
	}
	base := sleepingApp(t, app{spec: spec, command: []string{node, server, "delay=" + delay}, grpc: true})
	conn, err := grpc.NewClient("passthrough:///"+standalone.proxy,
		grpc.WithAuthority(strings.TrimPrefix(base, "http://")),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(noteCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call of a method, whose answers are returned.
type grpcCall func(ctx context.Context, conn *grpc.ClientConn) ([]int, error)

// echo calls the method that answers with what it gets.
func echo(ask note) grpcCall {
	return func(ctx context.Context, conn *grpc.ClientConn) ([]int, error) {
		var got note
		if err := conn.Invoke(ctx, "/test.Echo/Echo", ask, &got); err != nil {
			return nil, err
		}
		return []int{got.N}, nil
	}
}

// count calls the method that streams three messages.
func count(ask note) grpcCall {
	return func(ctx context.Context, conn *grpc.ClientConn) ([]int, error) {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Echo/Count")
		if err != nil {
			return nil, err
		}
		if err := errors.Join(stream.SendMsg(ask), stream.CloseSend()); err != nil {
			return nil, err
		}
		var all []int
		for {
			var n note
			if err := stream.RecvMsg(&n); errors.Is(err, io.EOF) {
				return all, nil
			} else if err != nil {
				return all, err
			}
			all = append(all, n.N)
		}
	}
}

// oneOfTwo makes two calls, and returns the failure of the one that found no place.
func oneOfTwo(ctx context.Context, conn *grpc.ClientConn) ([]int, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			_, err := count(note{})(ctx, conn)
			ended <- err
		})
	}
	err := <-ended
	cancel()
	calls.Wait()
	return nil, err
}

// TestGRPC: a call is held, and answered as if the server had been awake. A failure has a
// status of gRPC.
func TestGRPC(t *testing.T) {
	const soon, never = "500", "3600000"
	for name, test := range map[string]struct {
		spec, delay string
		call        grpcCall
		want        []int
		code        codes.Code
		message     string
	}{
		"unary":               {content, soon, echo(note{N: 7}), []int{7}, codes.OK, ""},
		"stream":              {content, soon, count(note{}), []int{1, 2, 3}, codes.OK, ""},
		"failure":             {content, soon, echo(note{Fail: codes.NotFound}), nil, codes.NotFound, "simulated failure"},
		"failure of a stream": {content, soon, count(note{Fail: codes.Aborted}), []int{1, 2, 3}, codes.Aborted, "simulated failure"},
		"timeout":             {impatient, never, echo(note{}), nil, codes.DeadlineExceeded, expired},
		"timeout of a stream": {impatient, never, count(note{}), nil, codes.DeadlineExceeded, expired},
		"too many":            {alone, never, oneOfTwo, nil, codes.Unavailable, full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer work()()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			conn := sleepingGRPC(t, test.spec, test.delay)
			for _, state := range []string{"asleep", "awake"} {
				got, err := test.call(ctx, conn)
				if s := status.Convert(err); s.Code() != test.code || s.Message() != test.message || !slices.Equal(got, test.want) {
					t.Errorf("%s: got %v, %v; want %v, %s: %s", state, got, err, test.want, test.code, test.message)
				}
				if test.delay == never {
					break
				}
			}
		})
	}
}

//go:build e2e

package cluster

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// agentPort is where an agent listens.
const agentPort = 8000

// tunnel carries connections to a port of a pod by port-forward, all of them on one connection to the
// API server.
type tunnel struct {
	connection httpstream.Connection
	port       int
	next       atomic.Int64
}

func newTunnel(c *Cluster, namespace, pod string, port int) (*tunnel, error) {
	transport, upgrader, err := spdy.RoundTripperFor(c.Config)
	if err != nil {
		return nil, fmt.Errorf("making a port-forward: %w", err)
	}
	url := c.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	connection, _, err := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url).Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, fmt.Errorf("making a port-forward to %s: %w", pod, err)
	}
	return &tunnel{connection: connection, port: port}, nil
}

// open reports whether the connection to the API server is.
func (t *tunnel) open() bool {
	select {
	case <-t.connection.CloseChan():
		return false
	default:
		return true
	}
}

// dial opens a connection to the port.
func (t *tunnel) dial() (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(t.port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(t.next.Add(1), 10))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	errors, err := t.connection.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("opening a connection of a port-forward: %w", err)
	}
	_ = errors.Close() // the other side writes
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := t.connection.CreateStream(headers)
	if err != nil {
		t.connection.RemoveStreams(errors)
		return nil, fmt.Errorf("opening a connection of a port-forward: %w", err)
	}
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, data)
		_ = w.CloseWithError(err)
		_ = data.Reset() // of what comes, nothing is read any more
		t.connection.RemoveStreams(data, errors)
	}()
	return &forwarded{Stream: data, r: r}, nil
}

// forwarded is a connection of a port-forward. It has no deadlines.
type forwarded struct {
	httpstream.Stream
	r *io.PipeReader // of what comes, so that Close ends a Read
}

func (f *forwarded) Read(p []byte) (int, error) { return f.r.Read(p) }

func (f *forwarded) Close() error {
	_ = f.r.Close()
	return f.Stream.Close()
}

func (f *forwarded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (f *forwarded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (f *forwarded) SetDeadline(time.Time) error      { return nil }
func (f *forwarded) SetReadDeadline(time.Time) error  { return nil }
func (f *forwarded) SetWriteDeadline(time.Time) error { return nil }

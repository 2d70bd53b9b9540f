package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// NewTLS returns a Generator that sends an HTTP/1.1 request over connections with
// TLS 1.3. It does not check the certificate.
func NewTLS(address string, request []byte, connections int) (Generator, error) {
	return NewWorkers(connections, func(int) (Exchange, func(), error) {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			return nil, nil, err
		}
		var a answer
		buffer := make([]byte, 32<<10)
		return func() error {
			if _, err := conn.Write(request); err != nil {
				return err
			}
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return err
				}
				if whole, err := a.take(buffer[:n]); whole || err != nil {
					return err
				}
			}
		}, func() { _ = conn.Close() }, nil
	})
}

// streamsPerConnection is how many requests share a connection of HTTP/2.
const streamsPerConnection = 10

// NewH2C returns a Generator that sends GET requests over HTTP/2 without TLS, so
// many at a time.
func NewH2C(url, host string, concurrency int) (Generator, error) {
	var client *http.Transport
	return NewWorkers(concurrency, func(n int) (Exchange, func(), error) {
		if n%streamsPerConnection == 0 {
			client = &http.Transport{Protocols: new(http.Protocols)}
			client.Protocols.SetUnencryptedHTTP2(true)
		}
		client := client
		buffer := make([]byte, 32<<10)
		return func() error {
			r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			r.Host = host
			response, err := client.RoundTrip(r)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("answered %s", response.Status)
			}
			for err == nil {
				_, err = response.Body.Read(buffer)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}, client.CloseIdleConnections, nil
	})
}

// NewWebSocket returns a Generator of clients that send a message of 128 bytes and
// wait for its echo.
func NewWebSocket(address, host string, clients int) (Generator, error) {
	// A binary frame from a client, whose mask is zero.
	message := append([]byte{0x82, 0x80 | 126, 0, 128, 0, 0, 0, 0}, bytes.Repeat([]byte("x"), 128)...)
	handshake := fmt.Appendf(nil, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	return NewWorkers(clients, func(int) (Exchange, func(), error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil, nil, err
		}
		reader := bufio.NewReader(conn)
		if _, err := conn.Write(handshake); err != nil {
			return nil, nil, err
		}
		response, err := http.ReadResponse(reader, nil) //nolint:bodyclose // the connection is the body
		if err != nil {
			return nil, nil, err
		}
		if response.StatusCode != http.StatusSwitchingProtocols {
			return nil, nil, fmt.Errorf("the upgrade was answered with %s", response.Status)
		}
		buffer := make([]byte, len(message))
		return func() error {
			if _, err := conn.Write(message); err != nil {
				return err
			}
			_, err := io.ReadFull(reader, buffer)
			return err
		}, func() { _ = conn.Close() }, nil
	})
}

// events is a Generator that only listens: the backend decides how much comes.
type events struct {
	conns   []net.Conn
	reading sync.WaitGroup
	opened  chan error
	failed  atomic.Int64

	mu        sync.Mutex
	latencies []time.Duration
}

// NewSSE returns a Generator of clients of event streams whose data is the time of
// sending, in nanoseconds since the epoch. It returns when each has begun.
func NewSSE(address, host string, clients int) (Generator, error) {
	e := &events{opened: make(chan error, clients)}
	request := fmt.Appendf(nil, "GET /events HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", host)
	for range clients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			e.Close()
			return nil, err
		}
		e.conns = append(e.conns, conn)
		if _, err := conn.Write(request); err != nil {
			e.Close()
			return nil, err
		}
		e.reading.Go(func() { e.read(conn) })
	}
	for range clients {
		if err := <-e.opened; err != nil {
			e.Close()
			return nil, err
		}
	}
	return e, nil
}

func (e *events) read(conn net.Conn) {
	begun := false
	_ = conn.SetReadDeadline(time.Now().Add(grace)) // else the read fails
	lines := bufio.NewReaderSize(conn, 1024)
	if status, err := lines.ReadSlice('\n'); err != nil || !bytes.Contains(status, []byte(" 200 ")) {
		e.failed.Add(1)
		e.opened <- fmt.Errorf("a stream was answered with %q: %w", status, err)
		return
	}
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			e.failed.Add(1)
			if !begun {
				e.opened <- fmt.Errorf("a stream ended before its first event: %w", err)
			}
			return
		}
		text, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		sent, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		if err != nil {
			continue
		}
		latency := time.Duration(time.Now().UnixNano() - sent)
		e.mu.Lock()
		e.latencies = append(e.latencies, latency)
		e.mu.Unlock()
		if !begun {
			begun = true
			_ = conn.SetReadDeadline(time.Time{}) // as above
			e.opened <- nil
		}
	}
}

// Run implements Generator.
func (e *events) Run(d time.Duration, _ float64) Result {
	e.mu.Lock()
	e.latencies = nil
	e.mu.Unlock()
	begun := time.Now()
	over := time.NewTimer(d)
	<-over.C
	e.mu.Lock()
	defer e.mu.Unlock()
	r := Result{Done: int64(len(e.latencies)), Latencies: e.latencies, Failed: e.failed.Load()}
	e.latencies = nil
	r.finish(begun)
	return r
}

// Close implements Generator.
func (e *events) Close() {
	for _, conn := range e.conns {
		_ = conn.Close()
	}
	e.reading.Wait()
}

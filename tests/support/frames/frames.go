// Package frames is an HTTP/2 client that sends what its user says, frame by frame: for
// what no other client sends. It knows no server.
package frames

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Block is a block of header fields, given as names and values.
func Block(all ...string) []byte {
	var b bytes.Buffer
	encoder := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(all); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}) // a buffer takes it
	}
	return b.Bytes()
}

// Conn is one connection. Its methods are for one goroutine; what arrives is read by
// another one, which ends with the connection.
type Conn struct {
	net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	next    uint32

	mu      sync.Mutex
	changed *sync.Cond
	streams map[uint32]*Answer
	err     error // why nothing more arrives
}

// Answer is what has arrived on a stream.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
	Ended  bool
	// Reset is the code of a reset stream.
	Reset *http2.ErrCode
}

// Open begins HTTP/2 with prior knowledge on a connection. window is how much of a response the
// server may send on a stream before Conn extends it, which it never does.
func Open(conn net.Conn, window uint32) (*Conn, error) {
	c := &Conn{Conn: conn, framer: http2.NewFramer(conn, conn), next: 1, streams: make(map[uint32]*Answer)}
	c.changed = sync.NewCond(&c.mu)
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return nil, err
	}
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		return nil, err
	}
	// The first settings of the server are what later frames must respect.
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	if _, ok := frame.(*http2.SettingsFrame); !ok {
		return nil, fmt.Errorf("the server begins with %v", frame)
	}
	if err := c.framer.WriteSettingsAck(); err != nil {
		return nil, err
	}
	go c.read()
	return c, nil
}

// Fields returns the fields of a request, to which a caller adds others.
func Fields(method, host, path string, more ...string) []hpack.HeaderField {
	fields := []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: host}, {Name: ":path", Value: path}}
	for i := 0; i+1 < len(more); i += 2 {
		fields = append(fields, hpack.HeaderField{Name: more[i], Value: more[i+1]})
	}
	return fields
}

// Request sends the head of a request and returns its stream. The encoder refers to what
// it has sent before, as HPACK does.
func (c *Conn) Request(end bool, fields ...hpack.HeaderField) (stream uint32, err error) {
	stream = c.next
	c.next += 2
	return stream, c.headers(stream, end, fields)
}

// Trailers ends the body of a request with trailers.
func (c *Conn) Trailers(stream uint32, fields ...hpack.HeaderField) error {
	return c.headers(stream, true, fields)
}

func (c *Conn) headers(stream uint32, end bool, fields []hpack.HeaderField) error {
	c.block.Reset()
	for _, field := range fields {
		if err := c.encoder.WriteField(field); err != nil {
			return err
		}
	}
	const frame = 16 << 10
	block := c.block.Bytes()
	first := block[:min(frame, len(block))]
	rest := block[len(first):]
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: len(rest) == 0,
	})
	for err == nil && len(rest) > 0 {
		part := rest[:min(frame, len(rest))]
		rest = rest[len(part):]
		err = c.framer.WriteContinuation(stream, len(rest) == 0, part)
	}
	return err
}

// Data sends a part of a request's body. The caller keeps to the windows of the server.
func (c *Conn) Data(stream uint32, end bool, data []byte) error {
	return c.framer.WriteData(stream, end, data)
}

// Reset ends a stream.
func (c *Conn) Reset(stream uint32) error {
	return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
}

// Wait returns what has arrived on a stream once it is over, or the connection is.
func (c *Conn) Wait(stream uint32) (Answer, error) {
	return c.Until(stream, func(a *Answer) bool { return a.Ended })
}

// Until returns what has arrived on a stream as soon as that satisfies is.
func (c *Conn) Until(stream uint32, is func(*Answer) bool) (Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch a := c.streams[stream]; {
		case a != nil && (is(a) || a.Ended):
			return *a, nil
		case c.err != nil:
			return Answer{}, c.err
		}
		c.changed.Wait()
	}
}

func (c *Conn) read() {
	for {
		frame, err := c.framer.ReadFrame()
		if err == nil {
			err = c.received(frame)
		}
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.changed.Broadcast()
			c.mu.Unlock()
			return
		}
	}
}

func (c *Conn) received(frame http2.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	id := frame.Header().StreamID
	if id != 0 && c.streams[id] == nil {
		c.streams[id] = &Answer{Header: make(map[string]string)}
	}
	answer := c.streams[id]
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		for _, field := range f.Fields {
			answer.Header[field.Name] = field.Value
		}
		answer.Status, _ = strconv.Atoi(answer.Header[":status"])
		answer.Ended = f.StreamEnded()
	case *http2.DataFrame:
		answer.Body = append(answer.Body, f.Data()...)
		answer.Ended = f.StreamEnded()
	case *http2.RSTStreamFrame:
		answer.Reset, answer.Ended = &f.ErrCode, true
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server goes away: %v %s", f.ErrCode, f.DebugData())
	}
	return nil
}

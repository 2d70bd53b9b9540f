package stream

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"iter"

	"github.com/kedacore/http-add-on/interceptor/fair"
)

// decoder decodes a compressed body as it arrives. The decoders of the standard library pull
// their input, so one runs as a coroutine that stops where it needs more. It passes the decoded
// bytes on in pieces, so that no body grows in memory.
type decoder struct {
	coding string
	input  bytes.Buffer
	ended  bool // no more input comes
	next   func() (piece []byte, ok bool)
	stop   func()
	err    error
}

// newDecoder returns a decoder of gzip or deflate.
func newDecoder(coding string) *decoder {
	d := &decoder{coding: coding}
	d.next, d.stop = iter.Pull(func(yield func([]byte) bool) {
		source := &pulled{decoder: d, yield: yield}
		d.err = decode(coding, bufio.NewReader(source), yield)
	})
	return d
}

// slowness is how many bytes are read in the time that decoding one takes.
const slowness = 4

// decode passes a decoded body to yield, until that returns false.
func decode(coding string, source *bufio.Reader, yield func([]byte) bool) error {
	reader, err := decoding(coding, source)
	if err != nil {
		return err
	}
	buf := make([]byte, 4<<10)
	for turn := (fair.Turn{}); ; { // a small body may decode to very much
		n, err := reader.Read(buf)
		turn.Took(slowness * n)
		if n > 0 && !yield(buf[:n]) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// decoding returns the decoded body. "deflate" is zlib's format (RFC 9110, 8.4.1.2), but
// some servers send the bare one, which has no header.
func decoding(coding string, source *bufio.Reader) (io.Reader, error) {
	if coding != "deflate" {
		reader, err := gzip.NewReader(source)
		if err != nil {
			return nil, err
		}
		reader.Multistream(false)
		return &gzipMembers{reader, source}, nil
	}
	head, err := source.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(source)
	}
	return flate.NewReader(source), nil
}

// gzipMembers reads all members of a gzip file (RFC 1952, 2.2). The standard library reads
// them too, but takes padding behind the last one, which some servers send, for an error.
type gzipMembers struct {
	member *gzip.Reader
	source *bufio.Reader
}

var gzipMagic = []byte{0x1f, 0x8b}

// Read returns what there is of a member before it waits for the next one.
func (g *gzipMembers) Read(b []byte) (int, error) {
	n, err := g.member.Read(b)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if n > 0 {
		return n, nil // the end comes again
	}
	if head, _ := g.source.Peek(len(gzipMagic)); len(head) == 0 || !bytes.HasPrefix(gzipMagic, head) {
		return 0, io.EOF
	}
	if err := g.member.Reset(g.source); err != nil {
		return 0, err
	}
	g.member.Multistream(false)
	return 0, nil
}

// fits reports whether a body that begins with b may be in the coding. What is not gzip seldom
// begins like it; deflate may begin with anything.
func (d *decoder) fits(b []byte) bool {
	return d.coding == "deflate" || len(b) == 0 || b[0] == gzipMagic[0]
}

// write decodes a piece of the body.
func (d *decoder) write(b []byte, take func([]byte) error) error {
	d.input.Write(b)
	return d.run(take)
}

// close decodes the rest, and returns what is wrong with the body.
func (d *decoder) close(take func([]byte) error) error {
	d.ended = true
	defer d.stop()
	return d.run(take)
}

// run lets the coroutine decode until it needs more input.
func (d *decoder) run(take func([]byte) error) error {
	for {
		piece, ok := d.next()
		switch {
		case !ok: // the end; what follows it is not part of the body
			d.input.Reset()
			return d.err
		case piece == nil:
			return nil
		}
		if err := take(piece); err != nil {
			return err
		}
	}
}

// pulled is the input of the coroutine.
type pulled struct {
	decoder *decoder
	yield   func([]byte) bool
}

// Read stops the coroutine while there is no input.
func (p *pulled) Read(b []byte) (int, error) {
	for p.decoder.input.Len() == 0 {
		if p.decoder.ended || !p.yield(nil) {
			return 0, io.EOF
		}
	}
	return p.decoder.input.Read(b)
}

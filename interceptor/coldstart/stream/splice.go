package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// mode is what becomes of the backend's body.
type mode uint8

const (
	undecided  mode = iota // no header yet
	sniffing               // the first bytes decide
	copying                // a stream: verbatim
	converting             // a JSON answer
	piecing                // one that is not held
	failing                // anything else
)

// Splicer is the http.ResponseWriter that a backend handler writes to, so that its answer
// continues the stream. Its header is a scratch one, because the client's is long out. It cannot
// be hijacked. Whatever the size of the writes, the client gets the same bytes.
type Splicer struct {
	// GiveUp is called when an answer that becomes a failure takes too long, or when the client
	// takes no more keepalives. The handler should then return, and Close reports the result. Nil
	// waits.
	GiveUp func()

	stream *Stream
	alive  keepalives
	ctx    context.Context // the client's, to know that it has left
	memory Memory
	header http.Header

	mode    mode
	status  int
	decoder *decoder // of a compressed body; nil passes it as it is

	buf      []byte // bytes held back in every mode except copying
	reserved int    // bytes of memory
	tooLong  bool   // buf met its bound, or memory was short
	noMemory bool
	unread   bool   // the coding is unknown
	filter   filter // of a copied stream; nil means no filter
	copied   copied
	pieces   *pieces
	received int64       // bytes of the body, as they came
	out      atomic.Bool // bytes of the answer went out
	patience *time.Timer // runs once an answer becomes a failure

	lost    string  // why a 2xx answer was replaced by a failure
	err     error   // the client's connection failed
	broken  error   // the body cannot be decoded
	failure problem // shown if there is no answer
}

// Splice returns the writer for the answer to r, the client's request. An answer that must
// be complete first takes its memory from m. The caller calls Close when the handler has
// returned.
func (s *Stream) Splice(r *http.Request, m Memory) *Splicer {
	s.client.lift()
	return &Splicer{stream: s, ctx: r.Context(), memory: m, header: http.Header{}}
}

// Header is where the backend's header goes. The client sees none of it.
func (p *Splicer) Header() http.Header { return p.header }

// Status is the backend's real status, for records; if it gave no whole answer, that of the
// failure that the client was shown.
func (p *Splicer) Status() int { return p.status }

// Lost says why a successful answer was replaced by a failure; it is empty if none was.
func (p *Splicer) Lost() string { return p.lost }

// Flush does nothing: every write is flushed.
func (p *Splicer) Flush() {}

// WriteHeader decides by the status what becomes of the body. Informational answers are for
// a header that is long out.
func (p *Splicer) WriteHeader(status int) {
	if p.status != 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	p.status = status
	if status >= 200 && status <= 299 {
		p.mode = sniffing
	} else {
		p.fails()
	}
	// The backend was asked for no coding, and may have chosen one all the same.
	switch coding := p.coding(); coding {
	case "":
	case "gzip", "x-gzip", "deflate":
		p.decoder = newDecoder(coding)
	default:
		p.unread = true
		p.fails()
	}
}

// fails records that the answer becomes a failure. Its status says most of that, so the Splicer
// does not wait for a slow rest.
func (p *Splicer) fails() {
	p.mode = failing
	if p.GiveUp != nil && p.patience == nil {
		p.patience = time.AfterFunc(failurePatience, p.GiveUp)
	}
}

// SetWriteDeadline bounds writes of the answer. It has no effect before there are any: then
// the client can still be shown a failure.
func (p *Splicer) SetWriteDeadline(deadline time.Time) error {
	if !p.out.Load() {
		return nil
	}
	return p.stream.client.control.SetWriteDeadline(deadline)
}

// codings are the registered content codings (IANA, HTTP Content Coding Registry). Servers that
// name a character set or a framing in Content-Encoding send what they would send without.
var codings = [...]string{
	"aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "pack200-gzip", "x-compress", "x-gzip", "zstd",
}

// coding returns the one content coding of the body; several count as an unknown coding.
func (p *Splicer) coding() string {
	var all []string
	for _, value := range p.header["Content-Encoding"] {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.ToLower(strings.TrimSpace(coding)); slices.Contains(codings[:], coding) {
				all = append(all, coding)
			}
		}
	}
	return strings.Join(all, ",")
}

// Write takes a piece of the backend's body. An error means that no more is wanted; Close
// returns the reason.
func (p *Splicer) Write(b []byte) (int, error) {
	if p.mode == undecided {
		p.WriteHeader(http.StatusOK)
	}
	if p.received == 0 && p.mode == failing && p.decoder != nil && !p.decoder.fits(b) {
		p.decoder.stop()
		p.decoder = nil // a failure says more as it is
	}
	p.received += int64(len(b))
	if p.decoder == nil {
		return len(b), p.take(b)
	}
	if err := p.decoder.write(b, p.take); err != nil {
		if p.err == nil && !errors.Is(err, errEnough) {
			p.broken = fmt.Errorf("decoding the answer: %w", err)
		}
		return 0, err
	}
	return len(b), nil
}

// take takes a piece of the body, decoded.
func (p *Splicer) take(b []byte) error {
	if p.err != nil {
		return p.err
	}
	switch p.mode {
	case copying:
		return p.copy(b)
	case piecing:
		return p.piece(b)
	case sniffing:
		p.buf = append(p.buf, b...)
		if !p.reserve(len(p.buf), 2*maxLine) {
			if p.stream.request.dialect.ndjson {
				return p.pass(p.buf)
			}
			return p.sniff(true)
		}
		return p.sniff(false)
	}
	return p.collect(b)
}

// sniff decides by the first bytes of the body, as soon as there are enough. all means that there
// are no more.
func (p *Splicer) sniff(all bool) error {
	held, marked := bytes.CutPrefix(p.buf, byteOrderMark)
	if !marked && !all && bytes.HasPrefix(byteOrderMark, held) {
		return nil
	}
	// White space is how servers keep a client on the line while they work on JSON. It belongs
	// to no answer, and the client gets keepalives.
	p.buf = p.buf[:copy(p.buf, bytes.TrimLeft(held, blanks))]
	found := p.stream.request.dialect.formOf(p.buf, all)
	if found == document || found == neither {
		found = p.otherForm(found, p.buf, all)
	}
	switch found {
	case unclear:
		return nil
	case streamed:
		return p.pass(p.buf)
	case values:
		p.begin()
		p.filter = p.stream.valueFilter()
		return p.pass(p.buf)
	case readable:
		p.begin()
		p.filter = p.stream.textFilter()
		return p.pass(p.buf)
	case document:
		p.mode = converting
		return p.collect(nil)
	case neither:
		p.fails()
	}
	held = p.buf
	p.buf = nil
	return p.collect(held)
}

// pass begins to copy, with what was held back so far.
func (p *Splicer) pass(held []byte) error {
	p.begin()
	p.mode = copying
	// A second role is one too many for some clients, the only one is not.
	if p.filter == nil && p.stream.request.dialect.dropRole && p.stream.sent > 0 {
		p.filter = &roleFilter{}
	}
	p.release()
	return p.copy(held)
}

// filter changes a stream as it is copied. What comes out does not depend on how the input
// is cut.
type filter interface {
	// next takes a piece and returns what may go out, which may be b itself or empty.
	next(b []byte) []byte
	// rest is what follows the last piece.
	rest() []byte
}

// copy passes a piece of a stream on.
func (p *Splicer) copy(b []byte) error {
	if p.filter != nil {
		b = p.filter.next(b)
	}
	p.copied.note(b, p.stream.request.dialect.ndjson)
	return p.send(b)
}

// copied is what went out of a stream, as far as its end depends on that.
type copied struct {
	event   bool // some line has data
	line    bool // the last line has not ended
	matched int  // how much of a field's name the line begins with; -1: it has another one
}

// note records a piece. After the first event it looks at nothing.
func (c *copied) note(b []byte, ndjson bool) {
	const field = "data"
	for i := 0; i < len(b) && !c.event; i++ {
		switch end := b[i] == '\n' || b[i] == '\r'; {
		case end:
			c.line, c.matched = false, 0
		case ndjson:
			c.event = true
		case c.matched >= 0 && b[i] == field[c.matched]:
			c.line, c.matched = true, c.matched+1
			c.event = c.matched == len(field)
		default:
			c.line, c.matched = true, -1
		}
	}
}

// send writes bytes of the answer, the first of them after the separator. It has no
// deadline: a client that reads slowly is not dead, and a warm one has none either.
func (p *Splicer) send(b []byte) error {
	if len(b) == 0 || p.err != nil {
		return p.err
	}
	if !p.out.Swap(true) {
		if separator := p.stream.script().separator; separator != nil {
			b = append(separator[:len(separator):len(separator)], b...)
		}
	}
	p.err = p.stream.client.send(b)
	return p.err
}

// Close ends the answer after the backend handler has returned. If that failed, err is its
// error, and status and message are what the client is shown when nothing of an answer has
// gone out. The caller must abort the client's connection after an error of Close.
func (p *Splicer) Close(err error, status int, message string) error {
	p.failure = problem{status: status, message: truncate(message)}
	defer p.Discard()
	if p.decoder != nil && p.broken == nil {
		if broken := p.decoder.close(p.take); broken != nil && err == nil && !errors.Is(broken, errEnough) {
			p.broken = fmt.Errorf("decoding the answer: %w", broken)
		}
	}
	if p.broken != nil {
		err = p.broken // not what the handler makes of a write that failed
		p.failure = problem{status: http.StatusBadGateway, message: "the backend's answer cannot be decoded"}
	}
	p.begin()
	switch {
	case p.err != nil:
		return p.err
	case errors.Is(p.ctx.Err(), context.Canceled) && (err != nil || p.mode != copying):
		return fmt.Errorf("splicing answer: client left: %w", context.Canceled)
	case p.mode == undecided && err == nil:
		p.WriteHeader(http.StatusOK) // a handler that writes nothing means that
	}
	if p.mode == sniffing && err == nil {
		if len(bytes.TrimLeft(p.buf, blanks)) == 0 && p.mayBeEmpty() {
			return p.endEmpty()
		}
		if err := p.sniff(true); err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	switch p.mode {
	case copying:
		return p.endCopy(err)
	case piecing:
		return p.endPieces(err)
	case converting:
		return p.convert(err)
	case failing:
		return p.refuse()
	}
	return p.unanswered() // no header, or too little to know it by
}

// Discard gives up what the splicer holds. It may be called again.
func (p *Splicer) Discard() {
	p.begin()
	if p.patience != nil {
		p.patience.Stop()
	}
	if p.decoder != nil {
		p.decoder.stop()
	}
	p.release()
}

// labeled reports whether the Content-Type is that of the dialect's streams.
func (p *Splicer) labeled() bool {
	return mediaOf(p.header) == p.stream.request.dialect.mediaType()
}

// unanswered ends the stream for a backend that gave no answer to speak of.
func (p *Splicer) unanswered() error {
	p.status = p.failure.status
	return p.stream.fail(&p.failure)
}

// endCopy ends a copied stream. One that was cut is cut: a clean end would make half an
// answer look whole.
func (p *Splicer) endCopy(err error) error {
	if err == nil {
		if n, bad := strconv.ParseInt(p.header.Get("Content-Length"), 10, 64); bad == nil && p.received < n {
			err = io.ErrUnexpectedEOF
		}
	}
	switch {
	case err != nil && !p.out.Load():
		return p.unanswered()
	case err != nil:
		return fmt.Errorf("%w: answer was cut: %w", http.ErrAbortHandler, err)
	case p.filter != nil:
		rest := p.filter.rest()
		p.copied.note(rest, p.stream.request.dialect.ndjson)
		if err := p.send(rest); err != nil {
			return err
		}
	}
	if p.copied.event || p.stream.request.dialect == &eventSource {
		return nil
	}
	// The end of a stream that has comments at most would look like an empty answer.
	if p.copied.line {
		if err := p.send([]byte("\n")); err != nil {
			return err
		}
	}
	if p.out.Load() {
		p.stream.pending++
	}
	return p.refuse()
}

// refuse ends the stream with the failure that the backend's answer tells.
func (p *Splicer) refuse() error {
	if p.status >= 200 && p.status <= 299 {
		p.lost = "neither a stream nor an answer of the API"
	}
	body := inUTF8(p.buf)
	if p.unread {
		body = nil
	}
	failure := problemOf(p.status, body)
	failure.body = body
	return p.stream.fail(failure)
}

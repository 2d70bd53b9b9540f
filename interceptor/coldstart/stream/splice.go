package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// mode is what becomes of the backend's body.
type mode uint8

const (
	undecided  mode = iota // no header yet
	sniffing               // the media type says nothing; the first bytes do
	copying                // the dialect's own stream: verbatim
	converting             // a JSON answer to a streaming request
	failing                // anything else: a failure event
)

// Splicer is the http.ResponseWriter that a backend handler writes to, so that
// its answer goes on where the stream waited. Its header is a scratch one: ours
// is long out. It cannot be hijacked. Whatever the size of the writes, the
// client gets the same bytes.
type Splicer struct {
	stream *Stream
	ctx    context.Context // the client's, to know that it has left
	memory Memory
	header http.Header

	mode     mode
	status   int
	buf      []byte // what is held back in every mode but copying
	reserved int    // bytes of memory
	tooLong  bool   // buf met its bound
	filter   *roleFilter
	received int64   // bytes of a copied answer
	out      bool    // bytes of the answer went out
	err      error   // the client's connection failed
	failure  problem // shown to the client if there is no answer
}

// Splice returns the writer for the answer to r, the client's request. An answer
// that must be had whole takes its memory from m. Close must be called when the
// handler has returned.
func (s *Stream) Splice(r *http.Request, m Memory) *Splicer {
	s.client.lift()
	return &Splicer{stream: s, ctx: r.Context(), memory: m, header: http.Header{}}
}

// Header is where the backend's header goes. The client sees none of it.
func (p *Splicer) Header() http.Header { return p.header }

// Status is the backend's real status, for records. If it gave none it is 0
// until Close, and then that of the failure that the client was told.
func (p *Splicer) Status() int { return p.status }

// Flush does nothing: every write is flushed.
func (p *Splicer) Flush() {}

// WriteHeader decides from status and header what becomes of the body.
// Informational answers are for a header that is long out.
func (p *Splicer) WriteHeader(status int) {
	if p.status != 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	p.status = status
	p.mode = p.decide()
	if p.mode == copying {
		p.startCopying()
	}
}

// decide is the mode by status and header.
func (p *Splicer) decide() mode {
	if p.status < 200 || p.status > 299 || p.encoded() {
		return failing
	}
	contentType := p.header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	d := p.stream.request.dialect
	switch {
	case media == d.mediaType(), d.ndjson && media == "application/ndjson":
		return copying
	case media == "", media == "text/plain", media == "application/octet-stream":
		return sniffing
	case (media == "application/json" || strings.HasSuffix(media, "+json")) && d.answer != nil:
		return converting
	}
	return failing
}

// encoded says that the body is compressed though we asked that it be not.
func (p *Splicer) encoded() bool {
	for _, coding := range p.header.Values("Content-Encoding") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// Write takes a piece of the backend's body. An error means that no more is
// wanted; Close says why.
func (p *Splicer) Write(b []byte) (int, error) {
	if p.mode == undecided {
		p.WriteHeader(http.StatusOK)
	}
	if p.err != nil {
		return 0, p.err
	}
	switch p.mode {
	case copying:
		if err := p.copy(b); err != nil {
			return 0, err
		}
	case sniffing:
		p.buf = append(p.buf, b...)
		if err := p.sniff(); err != nil {
			return 0, err
		}
	default:
		if err := p.collect(b); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// sniff decides by the first bytes of the body, as soon as there are enough.
func (p *Splicer) sniff() error {
	begins, enough := p.stream.request.dialect.begins(p.buf)
	if !enough {
		return nil
	}
	held := p.buf
	p.buf = nil
	if !begins {
		p.mode = failing
		return p.collect(held)
	}
	p.mode = copying
	p.startCopying()
	return p.copy(held)
}

func (p *Splicer) startCopying() {
	// A second role is one too many for some clients, the only one is not.
	if p.stream.request.dialect.dropRole && p.stream.sent > 0 {
		p.filter = &roleFilter{}
	}
}

// copy passes a piece of a stream on.
func (p *Splicer) copy(b []byte) error {
	p.received += int64(len(b))
	if p.filter != nil {
		b = p.filter.next(b)
	}
	return p.send(b)
}

// send writes bytes of the answer, the first of them after what leads to it.
func (p *Splicer) send(b []byte) error {
	if len(b) == 0 || p.err != nil {
		return p.err
	}
	if !p.out {
		p.out = true
		if lead := p.stream.script.separator; lead != nil {
			b = append(lead[:len(lead):len(lead)], b...)
		}
	}
	p.err = p.stream.client.write(b)
	return p.err
}

// Close ends the answer after the backend handler has returned. If that failed, err
// is its error, and status and message are what the client is shown when nothing of
// an answer has gone out. The caller must abort the client's connection after an
// error of Close.
func (p *Splicer) Close(err error, status int, message string) error {
	p.failure = problem{status: status, message: truncate(message)}
	defer p.release()
	switch {
	case p.err != nil:
		return p.err
	case errors.Is(p.ctx.Err(), context.Canceled):
		return fmt.Errorf("splicing answer: client left: %w", context.Canceled)
	case p.mode == undecided && err == nil:
		p.WriteHeader(http.StatusOK) // a handler that writes nothing means that
	}
	switch p.mode {
	case copying:
		return p.endCopy(err)
	case converting:
		return p.convert(err)
	case failing:
		return p.stream.fail(p.refusal())
	}
	if err != nil {
		return p.unanswered() // no header, or too little to know it by
	}
	return p.stream.fail(p.refusal())
}

// unanswered ends the stream for a backend that gave no answer to speak of.
func (p *Splicer) unanswered() error {
	if p.status == 0 {
		p.status = p.failure.status
	}
	return p.stream.fail(&p.failure)
}

// endCopy ends a copied stream. One that was cut is cut: a clean end would make
// half an answer look whole.
func (p *Splicer) endCopy(err error) error {
	if err == nil {
		if n, bad := strconv.ParseInt(p.header.Get("Content-Length"), 10, 64); bad == nil && p.received < n {
			err = io.ErrUnexpectedEOF
		}
	}
	switch {
	case err != nil && !p.out:
		return p.unanswered()
	case err != nil:
		return fmt.Errorf("%w: answer was cut: %w", http.ErrAbortHandler, err)
	case p.filter != nil:
		return p.send(p.filter.rest())
	}
	return nil
}

// refusal is the failure that the backend's answer says.
func (p *Splicer) refusal() *problem {
	body := p.buf
	if p.encoded() {
		body = nil
	}
	return problemOf(p.status, body)
}

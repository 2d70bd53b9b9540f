package middleware

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// AccessLog writes a line for each request in Combined Log Format
// (https://httpd.apache.org/docs/current/logs.html#combined).
type AccessLog struct {
	mu  sync.Mutex
	out io.Writer
	buf []byte
}

// NewAccessLog returns an access log that writes to out, a line at a time.
func NewAccessLog(out io.Writer) *AccessLog { return &AccessLog{out: out} }

// Log writes the line of one request. What the client sent is quoted, so that
// it can forge no other line.
func (l *AccessLog) Log(r *http.Request, start time.Time, status int, bytes int64) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "-"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf[:0]
	b = append(b, host...)
	b = append(b, " - - ["...)
	b = start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] "...)
	b = strconv.AppendQuote(b, r.Method+" "+r.RequestURI+" "+r.Proto)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if bytes == 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendInt(b, bytes, 10)
	}
	b = append(b, ' ')
	b = appendOrDash(b, r.Referer())
	b = append(b, ' ')
	b = appendOrDash(b, r.UserAgent())
	b = append(b, '\n')
	l.buf = b
	// A full disk or a closed pipe must not fail the request.
	_, _ = l.out.Write(b)
}

func appendOrDash(b []byte, s string) []byte {
	if s == "" {
		s = "-"
	}
	return strconv.AppendQuote(b, s)
}

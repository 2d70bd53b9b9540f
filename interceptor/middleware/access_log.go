package middleware

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// accessLines is how many lines may wait for a slow reader of the log.
const accessLines = 4096

// AccessLog writes a line for each request in Combined Log Format
// (https://httpd.apache.org/docs/current/logs.html#combined). Requests do not
// wait for it: when its reader stalls, lines are dropped and counted.
type AccessLog struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Int64
}

// NewAccessLog returns an access log that writes to out while Run runs.
func NewAccessLog(out io.Writer) *AccessLog {
	return &AccessLog{out: out, lines: make(chan []byte, accessLines)}
}

// Run writes lines until ctx ends, and then those that wait.
func (l *AccessLog) Run(ctx context.Context, log logr.Logger) {
	for {
		select {
		case line := <-l.lines:
			l.write(line, log)
		case <-ctx.Done():
			for {
				select {
				case line := <-l.lines:
					l.write(line, log)
				default:
					return
				}
			}
		}
	}
}

// write writes a line. A full disk or a closed pipe is nothing to act on here.
func (l *AccessLog) write(line []byte, log logr.Logger) {
	_, _ = l.out.Write(line)
	if n := l.dropped.Swap(0); n > 0 {
		log.Info("dropped access log lines: their reader is too slow", "lines", n)
	}
}

// Log hands over the line of one request. What the client sent is quoted, so that
// it can forge no other line.
func (l *AccessLog) Log(r *http.Request, start time.Time, status int, bytes int64) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "-"
	}
	b := make([]byte, 0, 256)
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
	select {
	case l.lines <- b:
	default:
		l.dropped.Add(1)
	}
}

func appendOrDash(b []byte, s string) []byte {
	if s == "" {
		s = "-"
	}
	return strconv.AppendQuote(b, s)
}

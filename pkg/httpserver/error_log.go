package httpserver

import (
	"log"
	"strings"

	"github.com/go-logr/logr"
)

// errorLog returns a log for http.Server. The server writes a line for every client that hangs up
// during a handshake, every port scan and every odd query string. Those are for debugging;
// errorLog passes on what an operator must act on.
func errorLog(to logr.Logger) *log.Logger {
	return log.New(serverLines{to}, "", 0)
}

// serverLines receives one line a call, as log.Logger promises.
type serverLines struct{ to logr.Logger }

// Write logs a line.
func (l serverLines) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	switch {
	case strings.HasPrefix(line, "http: Accept error"):
		// Out of file descriptors, mostly.
		l.to.Error(nil, "accepting connections", "reason", line)
	case strings.HasPrefix(line, "http: panic serving"), strings.HasPrefix(line, "http2: panic serving"):
		l.to.Error(nil, "recovering from a panic", "reason", line)
	default:
		l.to.V(1).Info("serving a connection", "reason", line)
	}
	return len(p), nil
}

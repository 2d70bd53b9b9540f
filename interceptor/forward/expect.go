package forward

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// continueTimeout is how long a backend may take to answer to
// "Expect: 100-continue" before the body is sent anyway (RFC 9110, 10.1.1).
const continueTimeout = time.Second

var errNotExpected = errors.New("the backend does not want the body")

// httpExpects reports whether the client waits for 100 Continue.
func httpExpects(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}

// expectation is a body that waits until its backend asks for it, answers, or has had
// enough time for that.
type expectation struct {
	io.ReadCloser
	decided  <-chan bool // nil: it is sent
	unwanted bool        // the backend answered without it
}

// Read waits and then reads.
func (e *expectation) Read(p []byte) (int, error) {
	if e.decided != nil {
		timer := time.NewTimer(continueTimeout)
		defer timer.Stop()
		select {
		case send := <-e.decided:
			if !send {
				e.unwanted = true
				return 0, errNotExpected
			}
		case <-timer.C:
		}
		e.decided = nil
	}
	return e.ReadCloser.Read(p)
}

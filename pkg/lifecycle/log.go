package lifecycle

import (
	"log"
	"strings"

	"github.com/go-logr/logr"
)

// StandardLog passes what libraries write to the standard logger on to the debug level of another log. net/http writes a
// line for each frame of a backend that it does not know. Only interceptor and standalone connect to such backends.
func StandardLog(to logr.Logger) {
	log.SetFlags(0)
	log.SetOutput(libraryLines{to})
}

// libraryLines receives one line a call, as log.Logger promises.
type libraryLines struct{ to logr.Logger }

func (l libraryLines) Write(p []byte) (int, error) {
	l.to.V(1).Info("from a library", "text", strings.TrimSpace(string(p)))
	return len(p), nil
}

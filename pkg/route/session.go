package route

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// ReasonInvalidSession is the condition reason of sessions that cannot be kept.
const ReasonInvalidSession = "InvalidSessionPersistence"

// SessionProblem returns why the sessions of a route cannot be kept; nil if they can. The API
// server refuses such objects, but it has not checked files, nor objects that are older than the
// field.
func SessionProblem(spec *v1beta1.SessionPersistenceSpec) *Problem {
	invalid := func(format string, args ...any) *Problem {
		return &Problem{Reason: ReasonInvalidSession, Message: fmt.Sprintf(format, args...)}
	}
	var name string
	switch spec.Type {
	case v1beta1.SessionPersistenceCookie:
		if spec.Cookie != nil {
			name = spec.Cookie.Name
		}
		if name != "" && !httpguts.ValidHeaderFieldName(name) { // a token as well
			return invalid("no cookie can have the name %.80q", name)
		}
	case v1beta1.SessionPersistenceHeader:
		if spec.Header != nil {
			name = spec.Header.Name
		}
		if !httpguts.ValidHeaderFieldName(name) || reserved(name) {
			return invalid("no session id can be in the header %.80q", name)
		}
	default:
		return invalid("the type %.80q is neither Cookie nor Header", spec.Type)
	}
	if t := spec.AbsoluteTimeout; t != nil && (t.Duration < time.Second || t.Duration%time.Second != 0) {
		return invalid("the absoluteTimeout %v is not a number of seconds", t.Duration)
	}
	return nil
}

// reserved reports whether HTTP itself needs a header.
func reserved(name string) bool {
	return slices.Contains([]string{
		"Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host", "Keep-Alive", "Set-Cookie",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}, http.CanonicalHeaderKey(name))
}

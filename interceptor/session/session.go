// Package session keeps the requests of a session with one pod. Interceptors share no store. The
// client sends the pod along, in our cookie or behind the session id that its server has issued.
// A client may send anything, so the value only ever chooses a pod. The package knows neither
// routes nor how a pod is reached.
package session

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
)

// MaxValue is the maximum length of a session id with its suffix, in bytes.
const MaxValue = 512

// skew is how far the clocks of two interceptors may be apart.
const skew = time.Minute

// Rule is how a route keeps its sessions. Either Cookie or Header is set.
type Rule struct {
	// Cookie is the name of the cookie.
	Cookie string
	// Header is the canonical name of the header with the server's session id.
	Header string
	// Timeout ends a session that long after it began; 0 is never.
	Timeout time.Duration
	// KeepAwake is how long the target stays awake after each request of a session.
	KeepAwake time.Duration
	// Now is the clock.
	Now func() time.Time
}

// CookieName returns the name of the cookie of a route that sets none. Each route has its
// own: several may be on one host.
func CookieName(namespace, name string) string {
	sum := sha256.Sum256([]byte(namespace + "/" + name))
	return "keda-session-" + hex.EncodeToString(sum[:4])
}

// Session is what a request says of its session. The goroutine that serves the request
// owns it. A nil Session is of a route that keeps none.
type Session struct {
	rule   *Rule
	secure bool // the client came by TLS

	place      place
	has, ended bool
	sent, id   string // the header as it came, and what the server knows of it
	kept       bool   // the answer belongs to a session
}

// place is the pod of a session, and when the session began there.
type place struct {
	pod   endpoints.ID
	began int64 // Unix time in seconds
}

// String returns what clients bring back: the pod, and the Unix time in seconds.
func (p place) String() string {
	return p.pod.String() + "." + strconv.FormatInt(p.began, 10)
}

// parsePlace reads what String wrote.
func parsePlace(s string) (p place, ok bool) {
	pod, began, _ := strings.Cut(s, ".")
	if p.pod, ok = endpoints.ParseID(pod); !ok {
		return place{}, false
	}
	seconds, err := strconv.ParseUint(began, 10, 62)
	p.began = int64(seconds)
	return p, err == nil && p.String() == s
}

// Begin reads the session of a request. It cuts what was appended off the header of its id,
// so that the server gets the id which it has issued.
func (rule *Rule) Begin(r *http.Request) *Session {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	s := &Session{rule: rule, secure: r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https")}
	if rule.Header == "" {
		s.place, s.has = cookie(r.Header["Cookie"], rule.Cookie)
	} else {
		s.cut(r.Header[rule.Header])
	}
	if s.has && rule.Timeout > 0 {
		age := s.age()
		if s.ended = age >= rule.Timeout || age < -skew; s.ended {
			s.has = false
		}
	}
	return s
}

// age is how long ago the session began.
func (s *Session) age() time.Duration { return s.rule.Now().Sub(time.Unix(s.place.began, 0)) }

// cookie returns the place of the first cookie of a name that has one.
func cookie(lines []string, name string) (place, bool) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			n, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if n != name {
				continue
			}
			if p, ok := parsePlace(value); ok {
				return p, true
			}
		}
	}
	return place{}, false
}

// cut removes the place from the header's only value. It leaves an id without one to the server:
// the id may be older than the route's sessions.
func (s *Session) cut(values []string) {
	if len(values) != 1 || !sound(values[0]) {
		return
	}
	sent := values[0]
	dot := strings.LastIndexByte(sent, '.')
	dot = strings.LastIndexByte(sent[:max(dot, 0)], '.')
	if dot <= 0 {
		return
	}
	if s.place, s.has = parsePlace(sent[dot+1:]); s.has {
		s.sent, s.id = sent, sent[:dot]
		values[0] = s.id
	}
}

// sound reports whether a session id is visible ASCII (MCP 2025-06-18, session management)
// and not too long.
func sound(id string) bool {
	for i := range len(id) {
		if id[i] < '!' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= MaxValue
}

// Pod returns the pod that the request's session is with, and reports whether there is one.
func (s *Session) Pod() (pod endpoints.ID, ok bool) {
	if s == nil {
		return 0, false
	}
	return s.place.pod, s.has
}

// Pinned reports whether no other pod can serve the request: the session lives in the pod
// that issued its id.
func (s *Session) Pinned() bool { return s != nil && s.has && s.rule.Header != "" }

// Over returns the failure of a request that only a pod which is gone could serve. Clients of
// MCP begin a new session then (specification of 2025-06-18, session management).
func Over() error {
	return &clienterror.Error{Status: http.StatusNotFound, Message: "the session is over; begin a new one"}
}

// Ended reports whether the server's session id is too old.
func (s *Session) Ended() bool { return s.ended && s.rule.Header != "" }

// Fresh reports whether the session began no longer ago than that, by the client's word.
func (s *Session) Fresh(within time.Duration) bool {
	age := s.age()
	return -within < age && age < within
}

// Answer makes the answer of a pod part of a session. It adds the cookie, or appends the pod to
// the id that the server issues, unless the client has them already. A session id that would
// become too long, or is not visible ASCII, stays as it is.
func (s *Session) Answer(header http.Header, pod endpoints.ID) {
	same := s.has && s.place.pod == pod
	next := s.place
	if !same {
		next = place{pod, s.rule.Now().Unix()}
	}
	if s.rule.Header == "" {
		s.kept = true
		if !same {
			header.Add("Set-Cookie", (&http.Cookie{
				Name: s.rule.Cookie, Value: next.String(), Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
			}).String())
		}
		return
	}
	s.kept = same
	values := header[s.rule.Header]
	if len(values) != 1 || values[0] == "" {
		return
	}
	if same && values[0] == s.id {
		values[0] = s.sent
		return
	}
	next.began = s.rule.Now().Unix()
	if value := values[0] + "." + next.String(); sound(value) {
		values[0], s.kept = value, true
	}
}

// Kept reports whether the target has answered a request of a session.
func (s *Session) Kept() bool { return s.kept }

package session

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
)

const began = 1790000000

func now() time.Time { return time.Unix(began, 0).Add(time.Hour) }

// request returns a request with fields (name, value, name, value…).
func request(fields ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

func TestTheNameOfTheCookieIsTheRoutesOwn(t *testing.T) {
	// printf %s default/app | sha256sum | cut -c1-8
	if got, want := CookieName("default", "app"), "keda-session-a1989cdf"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if CookieName("default", "app") == CookieName("default", "other") {
		t.Error("two routes have one cookie")
	}
}

// To the byte: clients and the tests of others compare it.
func TestTheCookie(t *testing.T) {
	// printf %s 4e1f2a6c-0b8d-4a53-9c77-0f3b1d2e5a90 | sha256sum | cut -c1-16
	const uid, id = "4e1f2a6c-0b8d-4a53-9c77-0f3b1d2e5a90", "ff4777408698137a"
	secure := request()
	secure.TLS = &tls.ConnectionState{}
	for _, c := range []struct {
		reason  string
		request *http.Request
		want    string
	}{
		{"plain", request(), "s=" + id + ".1790003600; Path=/; HttpOnly; SameSite=Lax"},
		{"TLS", secure, "s=" + id + ".1790003600; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"TLS in front", request("X-Forwarded-Proto", "HTTPS"), "s=" + id + ".1790003600; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"TLS in front of several", request("X-Forwarded-Proto", "https, http"), "s=" + id + ".1790003600; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"plain in front", request("X-Forwarded-Proto", "http"), "s=" + id + ".1790003600; Path=/; HttpOnly; SameSite=Lax"},
		{"established", request("Cookie", "s="+id+".1790000000"), ""},
		{"of another pod", request("Cookie", "s=0123456789abcdef.1790000000"), "s=" + id + ".1790003600; Path=/; HttpOnly; SameSite=Lax"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			rule := &Rule{Cookie: "s", Now: now}
			s := rule.Begin(c.request)
			header := http.Header{"Set-Cookie": {"theirs=1"}}
			s.Answer(header, endpoints.IDOf(uid))
			want := []string{"theirs=1"}
			if c.want != "" {
				want = append(want, c.want)
			}
			if diff := cmp.Diff(want, header["Set-Cookie"]); diff != "" {
				t.Errorf("Set-Cookie (-want +got):\n%s", diff)
			}
			if !s.Kept() {
				t.Error("the answer must keep the target awake")
			}
		})
	}
}

func TestTheCookieOfARequest(t *testing.T) {
	const id = "0123456789abcdef"
	for _, c := range []struct {
		reason  string
		cookies []string
		want    bool
	}{
		{"none", nil, false},
		{"alone", []string{"s=" + id + ".1790000000"}, true},
		{"among others", []string{"a=1; s=" + id + ".1790000000; b=2"}, true},
		{"in a field of its own, as HTTP/2 sends them", []string{"a=1", "s=" + id + ".1790000000"}, true},
		{"the first one that is ours", []string{"s=nonsense; s=" + id + ".1790000000"}, true},
		{"of another name", []string{"S=" + id + ".1790000000; xs=" + id + ".1790000000"}, false},
		{"upper case", []string{"s=0123456789ABCDEF.1790000000"}, false},
		{"too short", []string{"s=0123456789abcde.1790000000"}, false},
		{"too long", []string{"s=" + id + "0.1790000000"}, false},
		{"without a time", []string{"s=" + id}, false},
		{"with an empty time", []string{"s=" + id + "."}, false},
		{"with a sign", []string{"s=" + id + ".+1790000000"}, false},
		{"with another way to write the time", []string{"s=" + id + ".01790000000"}, false},
		{"with an invalid time", []string{"s=" + id + ".99999999999999999999"}, false},
		{"with more", []string{"s=" + id + ".1790000000.1"}, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := request()
			r.Header["Cookie"] = c.cookies
			pod, ok := (&Rule{Cookie: "s", Now: now}).Begin(r).Pod()
			if ok != c.want || ok && pod.String() != id {
				t.Errorf("got %v, %t", pod, ok)
			}
		})
	}
}

func TestAbsoluteTimeout(t *testing.T) {
	const id = "0123456789abcdef"
	for _, c := range []struct {
		reason  string
		timeout time.Duration
		began   string
		want    bool
	}{
		{"none", 0, "1", true},
		{"in time", time.Hour + time.Second, "1790000000", true},
		{"over", time.Hour, "1790000000", false},
		{"the clock of another interceptor is a little ahead", time.Hour, "1790003659", true},
		{"a client that invents a time to come", time.Hour, "1890000000", false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			value := id + "." + c.began
			s := (&Rule{Cookie: "s", Timeout: c.timeout, Now: now}).Begin(request("Cookie", "s="+value))
			if _, ok := s.Pod(); ok != c.want || s.Ended() {
				t.Errorf("the cookie counts: %t, ended: %t", ok, s.Ended())
			}
			s = (&Rule{Header: "Sid", Timeout: c.timeout, Now: now}).Begin(request("Sid", "x."+value))
			if s.Pinned() != c.want || s.Ended() == c.want {
				t.Errorf("the header counts: %t, ended: %t", s.Pinned(), s.Ended())
			}
		})
	}
}

func TestTheHeader(t *testing.T) {
	id := endpoints.IDOf("uid").String()
	long := strings.Repeat("x", MaxValue-len("."+id+".1790003600"))
	for _, c := range []struct {
		reason    string
		sent      []string // by the client
		forwarded []string // to the target
		answered  []string // by the target
		want      []string // at the client
		kept      bool
	}{
		{"a session begins", nil, nil, []string{"abc"}, []string{"abc." + id + ".1790003600"}, true},
		{"an id may have dots", nil, nil, []string{"a.b.c"}, []string{"a.b.c." + id + ".1790003600"}, true},
		{"it goes on", []string{"a.b." + id + ".1790000000"}, []string{"a.b"}, nil, nil, true},
		{"and the target repeats its id", []string{"abc." + id + ".1790000000"}, []string{"abc"}, []string{"abc"}, []string{"abc." + id + ".1790000000"}, true},
		{"or issues another", []string{"abc." + id + ".1790000000"}, []string{"abc"}, []string{"def"}, []string{"def." + id + ".1790003600"}, true},
		{"a target without sessions", nil, nil, nil, nil, false},
		{"an id from before the route kept sessions", []string{"abc"}, []string{"abc"}, nil, nil, false},
		{"what is appended is not ours", []string{"abc.def.ghi"}, []string{"abc.def.ghi"}, nil, nil, false},
		{"nothing but ours", []string{"." + id + ".1790000000"}, []string{"." + id + ".1790000000"}, nil, nil, false},
		{"several", []string{"abc." + id + ".1790000000", "def"}, []string{"abc." + id + ".1790000000", "def"}, []string{"a", "b"}, []string{"a", "b"}, false},
		{"the longest", nil, nil, []string{long}, []string{long + "." + id + ".1790003600"}, true},
		{"too long to keep", nil, nil, []string{long + "x"}, []string{long + "x"}, false},
		{"too long to read", []string{long + "xx." + id + ".1790000000"}, []string{long + "xx." + id + ".1790000000"}, nil, nil, false},
		{"not visible", []string{"a b." + id + ".1790000000"}, []string{"a b." + id + ".1790000000"}, []string{"a\tb"}, []string{"a\tb"}, false},
		{"empty", []string{""}, []string{""}, []string{""}, []string{""}, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := request()
			if c.sent != nil {
				r.Header["Sid"] = c.sent
			}
			s := (&Rule{Header: "Sid", Now: now}).Begin(r)
			if diff := cmp.Diff(c.forwarded, r.Header["Sid"]); diff != "" {
				t.Errorf("forwarded (-want +got):\n%s", diff)
			}
			answer := http.Header{}
			if c.answered != nil {
				answer["Sid"] = c.answered
			}
			s.Answer(answer, endpoints.IDOf("uid"))
			if diff := cmp.Diff(c.want, answer["Sid"]); diff != "" {
				t.Errorf("answered (-want +got):\n%s", diff)
			}
			if s.Kept() != c.kept {
				t.Errorf("kept: %t", s.Kept())
			}
		})
	}
}

// Strangers write it: whatever is read is what String writes, and is cut off whole.
func FuzzHeader(f *testing.F) {
	f.Add("abc.0123456789abcdef.1790000000")
	f.Add("..")
	f.Fuzz(func(t *testing.T, value string) {
		r := request()
		r.Header["Sid"] = []string{value}
		s := (&Rule{Header: "Sid", Now: now}).Begin(r)
		forwarded := r.Header["Sid"][0]
		if !s.Pinned() {
			if forwarded != value {
				t.Fatalf("%q became %q", value, forwarded)
			}
			return
		}
		if forwarded == "" || forwarded+"."+s.place.String() != value {
			t.Fatalf("%q became %q and %v", value, forwarded, s.place)
		}
	})
}

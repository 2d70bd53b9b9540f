package route

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Objects from before the field, and standalone's, have met no API server.
func TestSessionProblem(t *testing.T) {
	header := func(name string) v1beta1.SessionPersistenceSpec {
		return v1beta1.SessionPersistenceSpec{Type: v1beta1.SessionPersistenceHeader, Header: &v1beta1.SessionHeader{Name: name}}
	}
	cookie := func(name string, timeout time.Duration) v1beta1.SessionPersistenceSpec {
		return v1beta1.SessionPersistenceSpec{
			Type: v1beta1.SessionPersistenceCookie, Cookie: &v1beta1.SessionCookie{Name: name}, AbsoluteTimeout: &metav1.Duration{Duration: timeout},
		}
	}
	for _, c := range []struct {
		reason string
		spec   v1beta1.SessionPersistenceSpec
		ok     bool
	}{
		{"a header", header("Mcp-Session-Id"), true},
		{"a header that frames messages", header("content-LENGTH"), false},
		{"no name of a header", header("a b"), false},
		{"no name", header(""), false},
		{"no header", v1beta1.SessionPersistenceSpec{Type: v1beta1.SessionPersistenceHeader}, false},
		{"a cookie by default", v1beta1.SessionPersistenceSpec{Type: v1beta1.SessionPersistenceCookie}, true},
		{"a cookie", cookie("s", time.Hour), true},
		{"no name of a cookie", cookie("a;b", time.Hour), false},
		{"half a second", cookie("s", time.Second/2), false},
		{"a second and a half", cookie("s", 3*time.Second/2), false},
		{"no type", v1beta1.SessionPersistenceSpec{}, false},
	} {
		problem := SessionProblem(&c.spec)
		if (problem == nil) != c.ok {
			t.Errorf("%s: %+v", c.reason, problem)
		}
		if problem != nil && (problem.Reason != ReasonInvalidSession || problem.Message == "") {
			t.Errorf("%s: %+v", c.reason, problem)
		}
	}
}

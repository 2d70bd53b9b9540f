package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// sized returns a rule with this many hosts.
func sized(hosts int) (rule v1beta1.RoutingRule) {
	for i := range hosts {
		rule.Hosts = append(rule.Hosts, fmt.Sprintf("h%d.test", i))
	}
	return rule
}

func TestTheOldestObjectsOfANamespaceWin(t *testing.T) {
	q := defaults.Quota()
	settle := func(want ...string) {
		t.Helper()
		var got []string
		for _, name := range q.Settle() {
			got = append(got, name.Name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("changed: %q, want %q", got, want)
		}
	}
	set := func(name string, age int, rules ...v1beta1.RoutingRule) {
		r := made(name, age, rules...)
		q.Set(nameOf(r), r.CreationTimestamp.Time, Weight(r))
	}
	for i := range 16 {
		set(fmt.Sprint("r", i), 10+i, sized(4096))
	}
	settle()
	set("young", 100, sized(1))
	settle("young")
	if p := q.Problem(types.NamespacedName{Namespace: "apps", Name: "young"}); p == nil || p.Reason != ReasonNamespaceFull || !strings.Contains(p.Message, `"apps"`) {
		t.Errorf("the youngest: %v", p)
	}
	other := made("other", 200, sized(1))
	other.Namespace = "other"
	q.Set(nameOf(other), other.CreationTimestamp.Time, Weight(other))
	settle()
	// An older object takes the room of the youngest ones that it needs.
	set("old", 1, sized(2))
	settle("r15", "young")
	q.Set(types.NamespacedName{Namespace: "apps", Name: "old"}, time.Time{}, 0)
	settle("r15", "young")
	set("r3", 13, sized(4095))
	settle("young")
	if p := q.Problem(types.NamespacedName{Namespace: "apps", Name: "young"}); p != nil {
		t.Errorf("there is room: %v", p)
	}
}

func TestClaimsKnowWhoIsOverTheBound(t *testing.T) {
	c := NewClaims(defaults)
	for i := range 16 {
		c.put(api.KindInterceptorRoute, made(fmt.Sprint("r", i), 10+i, sized(4096)))
	}
	young, old := made("young", 100, rule("y.test", "")), made("old", 1, rule("o.test", ""))
	c.put(api.KindHTTPScaledObject, young)
	if c.Over(nameOf(young)) == nil {
		t.Error("the youngest is served")
	}
	// It takes the room of the youngest that is large, and what that leaves is the other's.
	r15 := types.NamespacedName{Namespace: "apps", Name: "r15"}
	if got := c.put(api.KindInterceptorRoute, old); len(got) != 2 || c.Over(r15) == nil || c.Over(nameOf(old)) != nil || c.Over(nameOf(young)) != nil {
		t.Errorf("an older one changes %v", got)
	}
}

package forward_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The address of a Service refuses until kube-proxy has seen the pod that has just become
// ready. With directPodRouting: false the requests that woke it arrive before that.
func TestAServiceThatRefusesAtFirst(t *testing.T) {
	for name, c := range map[string]struct {
		refusing, readiness time.Duration
		status              int
		least, most         time.Duration
	}{
		"as long as kube-proxy takes":   {time.Second, 0, 0, time.Second, 1025 * time.Millisecond},
		"no longer than a pod may":      {time.Hour, 10 * time.Second, http.StatusBadGateway, 30 * time.Second, 30025 * time.Millisecond},
		"as long as the target may":     {40 * time.Second, time.Minute, 0, 40 * time.Second, 40025 * time.Millisecond},
		"no longer than the target may": {time.Hour, time.Minute, http.StatusBadGateway, time.Minute, 60025 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options()
				o.DirectPodRouting = false
				start := time.Now()
				answer := backend(takesHead, write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
				b := newBubbleWith(t, o, func(ctx context.Context, address string) (net.Conn, error) {
					if address != "svc.ns:80" {
						t.Errorf("%s is dialed", address)
					}
					if time.Since(start) < c.refusing {
						return nil, syscall.ECONNREFUSED
					}
					return answer(ctx, address)
				})
				b.route.Readiness = c.readiness
				_, _, took, err := b.serve(httptest.NewRequest(http.MethodGet, "/", nil), true)
				if status(err) != c.status {
					t.Errorf("ended with %v", err)
				}
				if took < c.least || took > c.most {
					t.Errorf("took %v, want %v to %v", took, c.least, c.most)
				}
			})
		})
	}
}

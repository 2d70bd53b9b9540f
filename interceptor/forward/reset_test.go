package forward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

type connKey struct{}

// resetsUploads starts a backend that answers a GET, and resets the connection of a POST in
// the middle of its body.
func resetsUploads(t *testing.T, upstream string) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		_, _ = io.ReadFull(r.Body, make([]byte, 1000))
		conn := r.Context().Value(connKey{}).(*net.TCPConn)
		_ = conn.SetLinger(0)
		_ = conn.Close()
		panic(http.ErrAbortHandler)
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
			c = secure.NetConn()
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	s.Config.Protocols = protocols(upstream == "h2c")
	switch upstream {
	case "tls":
		s.Config.Protocols, s.EnableHTTP2 = nil, true
		s.StartTLS()
	case "tls with HTTP/1.1":
		s.StartTLS()
	default:
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// The log names the cause: that a body cannot be sent again is a consequence.
func TestTheReasonOfAResetUploadIsTheReset(t *testing.T) {
	for _, upstream := range []string{"http1", "h2c", "tls", "tls with HTTP/1.1"} {
		for _, reused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/reused=%t", upstream, reused), func(t *testing.T) {
				f := newFixture(resetsUploads(t, upstream).Listener.Addr().String())
				f.options.TLS, f.secure = insecure(), strings.HasPrefix(upstream, "tls")
				if upstream == "h2c" {
					f.target.Protocol = exchange.H2C
				}
				f.start(t)
				if reused {
					_ = f.get(t, "/")
					if err := f.result(t); err != nil {
						t.Fatal(err)
					}
				}
				body, end := io.Pipe()
				defer body.Close()
				go func() {
					for part := make([]byte, 10_000); ; {
						if _, err := end.Write(part); err != nil {
							return
						}
					}
				}()
				r, err := http.NewRequest(http.MethodPost, f.front.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Idempotency-Key", "1") // else nothing is sent again anyway
				if res, err := f.client.Do(r); err == nil {
					_ = res.Body.Close()
				}
				err = f.result(t)
				if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the reason is: %v", err)
				}
				if err != nil && strings.Contains(err.Error(), "read already") {
					t.Errorf("the reason is the consequence: %v", err)
				}
			})
		}
	}
}

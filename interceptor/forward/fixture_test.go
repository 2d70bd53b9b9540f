package forward_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is how long a test waits for what must happen.
const patient = time.Minute

// options are those of a default installation.
func options() forward.Options {
	return forward.Options{ConnectTimeout: 500 * time.Millisecond, MaxIdleConns: 1000, MaxIdleConnsPerHost: 200, DirectPodRouting: true}
}

// protocols is what a plain test server or client speaks.
func protocols(h2c bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!h2c)
	p.SetUnencryptedHTTP2(h2c)
	return p
}

// serve starts a backend.
func serve(t *testing.T, h2c bool, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = protocols(h2c)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// serveTLS starts a backend with TLS. It speaks HTTP/2 if the client does.
func serveTLS(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// fixture is a front server that forwards to one target.
type fixture struct {
	store   *endpoints.Store
	target  *exchange.Target
	route   *exchange.Route
	options forward.Options
	prepare func(w http.ResponseWriter, r *http.Request, x *exchange.Exchange)
	h2c     bool // what the front server and its client speak
	secure  bool // the exchange came by TLS

	forwarder *forward.Forwarder
	front     *httptest.Server
	client    *http.Client
	results   chan error // of each exchange, in order of their ends
}

// newFixture is a target with these endpoints; start starts it.
func newFixture(addresses ...string) *fixture {
	f := &fixture{store: endpoints.NewStore(), options: options(), results: make(chan error, 100_000)}
	key := endpoints.Key{Namespace: "ns", Service: "svc"}
	f.store.Update("ns", "svc", map[string][]string{"": addresses})
	f.target = &exchange.Target{
		Namespace: "ns", Service: "svc", Endpoints: f.store.Port(key),
		Address: "127.0.0.1:1", ServerName: "svc.ns",
	}
	f.route = &exchange.Route{Namespace: "ns", Name: "route", Target: f.target}
	return f
}

// to is a started fixture with plain HTTP/1.1.
func to(t *testing.T, addresses ...string) *fixture {
	t.Helper()
	f := newFixture(addresses...)
	f.start(t)
	return f
}

func (f *fixture) start(t *testing.T) {
	t.Helper()
	f.forwarder = forward.New(f.options)
	f.front = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.front.Config.Protocols = protocols(f.h2c)
	f.front.Start()
	transport := &http.Transport{Protocols: protocols(f.h2c), DisableCompression: true, ExpectContinueTimeout: patient}
	f.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		f.front.Close()
		f.forwarder.Close()
	})
}

// lingering is how long a front server reads the rest of a body.
const lingering = 200 * time.Millisecond

// serve is as little of the chain as there can be: pick, forward, answer errors.
func (f *fixture) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange.Exchange{Start: time.Now(), TLS: f.secure, Route: f.route, Body: requestbody.Open(w, r)}
	x.Upstream.Target = f.target
	x.Upstream.Slot, _ = f.target.Endpoints.Pick()
	if f.prepare != nil {
		r = r.WithContext(r.Context()) // the body reads the server's
		f.prepare(w, r, x)
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// As the edge does where the body has not ended: net/http panics if it ends later.
		w.Header().Set("Connection", "close")
	}
	err := f.forwarder.ServeExchange(w, r, x)
	f.results <- err
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// As the edge does: else net/http resets a connection with an unread body, and the
		// client may lose the answer.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingering))
	}
	var failure *clienterror.Error
	switch {
	case err == nil:
	case errors.As(err, &failure) && !errors.Is(err, http.ErrAbortHandler):
		http.Error(w, failure.Message, failure.Status)
	default:
		panic(http.ErrAbortHandler)
	}
}

// result is how the next exchange ended.
func (f *fixture) result(t *testing.T) error {
	t.Helper()
	select {
	case err := <-f.results:
		return err
	case <-time.After(patient):
		t.Fatal("the exchange did not end")
		return nil
	}
}

// get sends a GET.
func (f *fixture) get(t *testing.T, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.front.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.do(t, r)
}

// do sends a request, whose answer is closed with the test.
func (f *fixture) do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	res, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// read reads a body to its end.
func read(t *testing.T, body io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("reading a body: %v", err)
	}
	return string(b)
}

// status returns the status of a failure, or 0.
func status(err error) int {
	var failure *clienterror.Error
	if errors.As(err, &failure) {
		return failure.Status
	}
	return 0
}

// raw sends bytes over a new connection and returns it.
func (f *fixture) raw(t *testing.T, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// insecure accepts the certificates of test servers.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } //nolint:gosec // a test server's

// accepting accepts connections one after the other, hands each to serve and closes
// it then. It ends with the test.
func accepting(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

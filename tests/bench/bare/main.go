// Command bare is httputil.ReverseProxy with what a careful user sets, on the
// same server as the interceptor's: what "× bare" means in docs/performance.
//
//	bare -listen 127.0.0.1:8080=http://127.0.0.1:9090 [-listen …] [-tls-listen …] [-profiles ADDRESS]
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/http/pprof"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// idleConnections exceeds the connections of every comparison.
const idleConnections = 20_000

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

// pairs is a flag of the form LISTEN=BACKEND that may be repeated.
type pairs [][2]string

func (p *pairs) String() string { return fmt.Sprint(*p) }

// Set implements flag.Value.
func (p *pairs) Set(text string) error {
	listen, backend, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("want LISTEN=BACKEND")
	}
	*p = append(*p, [2]string{listen, backend})
	return nil
}

func run() error {
	var plain, secure pairs
	flag.Var(&plain, "listen", "address to listen on, and the URL of its backend; h2c:// is HTTP/2 without TLS")
	flag.Var(&secure, "tls-listen", "the same with TLS")
	certificate := flag.String("certificate", "", "file with the certificate of the TLS listeners")
	key := flag.String("key", "", "file with its key")
	profiles := flag.String("profiles", "", "address of the profiling port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	var options httpserver.Options
	options.Log = logr.Discard()
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			return err
		}
		options.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	group, ctx := errgroup.WithContext(ctx)
	serve := func(pair [2]string, serveOn func(*httpserver.Server, net.Listener) error) error {
		proxy, err := newProxy(pair[1])
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", pair[0])
		if err != nil {
			return err
		}
		server := httpserver.New(proxy, options)
		group.Go(func() error { return serveOn(server, l) })
		context.AfterFunc(ctx, func() { _ = server.Shutdown(ctx) }) // cut at once
		return nil
	}
	for _, pair := range plain {
		if err := serve(pair, (*httpserver.Server).Serve); err != nil {
			return err
		}
	}
	for _, pair := range secure {
		if err := serve(pair, (*httpserver.Server).ServeTLS); err != nil {
			return err
		}
	}
	if *profiles != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		go func() { _ = http.ListenAndServe(*profiles, mux) }() // ends with the process
	}
	return group.Wait()
}

// newProxy returns the proxy of one backend.
func newProxy(backend string) (http.Handler, error) {
	target, err := url.Parse(backend)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DisableCompression:  true,
		MaxIdleConns:        idleConnections,
		MaxIdleConnsPerHost: idleConnections,
	}
	switch target.Scheme {
	case "https":
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // the backend signs its own certificate
	case "h2c":
		target.Scheme = "http"
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport:  transport,
		BufferPool: &buffers{},
	}, nil
}

// buffers is an httputil.BufferPool.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }

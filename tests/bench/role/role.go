// Package role lets one executable be every process of a comparison. A test binary or the compare
// command starts itself again with the role in its environment.
package role

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/harness"
)

// The roles.
const (
	// Interceptor is the real chain, with objects from memory instead of a cluster.
	Interceptor = "interceptor"
	// Backend answers at once, and in every way that a comparison needs.
	Backend = "backend"
	// Handler is a bare net/http server whose handler holds every request.
	Handler = "handler"
	// Streams is a bare net/http server that writes what a cold stream writes.
	Streams = "streams"
	// Scaler is a whole scaler, except for its cluster.
	Scaler = "scaler"
	// Fleet is the admin ports of many interceptors without requests.
	Fleet = "fleet"
)

// The environment of a process that plays a role.
const (
	roleVariable    = "HTTP_ADD_ON_BENCH_ROLE"
	optionsVariable = "HTTP_ADD_ON_BENCH_OPTIONS"
)

// Main plays a role and exits if the environment names one, and returns if not.
func Main() {
	name := os.Getenv(roleVariable)
	if name == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := play(ctx, name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// stage is what every role gets: a control port, and how to report its addresses.
type stage struct {
	control   *http.ServeMux
	addresses map[string]string
}

func play(ctx context.Context, name string) error {
	s := &stage{control: http.NewServeMux(), addresses: make(map[string]string)}
	var serve func(context.Context) error
	var err error
	switch name {
	case Interceptor:
		serve, err = s.interceptor()
	case Backend:
		serve, err = s.backend()
	case Handler:
		serve, err = s.handler()
	case Streams:
		serve, err = s.streams()
	case Scaler:
		serve, err = s.scaler()
	case Fleet:
		serve, err = s.fleet()
	default:
		err = fmt.Errorf("no role %q", name)
	}
	if err != nil {
		return err
	}
	control, err := s.listen("control")
	if err != nil {
		return err
	}
	s.number("/memory", func() int64 {
		debug.FreeOSMemory()
		return ownRSS()
	})
	s.number("/cpu", ownCPU)
	go func() { _ = http.Serve(control, s.control) }() // ends with the process
	if err := json.NewEncoder(os.Stdout).Encode(s.addresses); err != nil {
		return err
	}
	return serve(ctx)
}

// listen opens a port on loopback and reports it by name.
func (s *stage) listen(name string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addresses[name] = l.Addr().String()
	return l, nil
}

// number answers with a number on the control port.
func (s *stage) number(path string, read func() int64) {
	s.control.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, read()) })
}

// options decodes what Start was given.
func options(into any) error {
	text := os.Getenv(optionsVariable)
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

func ownCPU() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func ownRSS() int64 {
	rss, err := harness.RSS(os.Getpid())
	if err != nil {
		return 0
	}
	return rss
}

// Server is a process in a role.
type Server struct {
	*harness.Process
	// Addresses by name; every role has "control", and most "proxy".
	Addresses map[string]string
}

// Start starts this executable in a role, on the given cores (all if there are none). The role
// decodes the options from JSON; they may be nil.
func Start(name string, options any, cores ...int) (*Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	p, err := harness.StartWithOutput(harness.Command{
		Path: self, Env: []string{roleVariable + "=" + name, optionsVariable + "=" + string(text)}, Cores: cores, Output: os.Stderr,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p}
	if err := json.NewDecoder(p.Stdout).Decode(&s.Addresses); err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return s, nil
}

// Proxy is where clients connect to.
func (s *Server) Proxy() string { return s.Addresses["proxy"] }

// Ask reads a number from the control port.
func (s *Server) Ask(path string) (int64, error) {
	response, err := http.Get("http://" + s.Addresses["control"] + path)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", path, response.Status)
	}
	var n int64
	if _, err := fmt.Fscan(response.Body, &n); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return n, nil
}

// Wait polls a number of the control port until it is at least want.
func (s *Server) Wait(path string, want int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var last int64
	err := harness.Poll(ctx, func() (bool, error) {
		var err error
		last, err = s.Ask(path)
		return last >= want, err
	})
	if err != nil {
		return fmt.Errorf("%s is %d, not %d: %w", path, last, want, err)
	}
	return nil
}

// Ready gives a Service of an Interceptor its ready endpoints; without any it
// sleeps.
func (s *Server) Ready(service string, addresses ...string) error {
	query := url.Values{"service": {service}, "address": addresses}
	_, err := s.Ask("/ready?" + query.Encode())
	return err
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

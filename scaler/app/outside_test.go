package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

// roleVariable makes the test binary act as the world outside of a scaler.
const roleVariable = "HTTP_ADD_ON_SCALER_TEST_ROLE"

// size of a world outside.
type size struct {
	Interceptors, Routes int
	Polled               bool // by KEDA
}

// outside runs interceptors and KEDA in a separate process, so that the benchmark measures the
// scaler alone. It reads one instruction per line from standard input, and answers each.
type outside struct {
	size
	servers []*served
}

// served is an interceptor's admin port, with the counting part of a real one.
type served struct {
	listener net.Listener
	server   *http.Server
	ended    chan struct{}
	tracker  *inflight.Tracker
}

// instruction is one line. First KEDA connects, then the world takes steps.
type instruction struct {
	Scaler string // address of the scaler that KEDA connects to
	Step   int    // of the churn
}

// beOutside is the process's main function.
func beOutside() error {
	o := &outside{}
	if err := json.Unmarshal([]byte(os.Getenv(roleVariable)), &o.size); err != nil {
		return err
	}
	var addresses []string
	for range o.Interceptors {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addresses = append(addresses, l.Addr().String())
		o.servers = append(o.servers, o.serve(l))
	}
	answers := json.NewEncoder(os.Stdout)
	if err := answers.Encode(addresses); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var i instruction
		if err := json.Unmarshal(lines.Bytes(), &i); err != nil {
			return err
		}
		if i.Scaler != "" {
			if err := o.connect(i.Scaler); err != nil {
				return err
			}
		}
		if i.Step > 0 {
			o.step(i.Step)
		}
		if err := answers.Encode("done"); err != nil {
			return err
		}
	}
	return nil
}

// serve starts an interceptor whose routes had some requests.
func (o *outside) serve(l net.Listener) *served {
	s := &served{listener: l, ended: make(chan struct{}), tracker: inflight.NewTracker(nil)}
	for n := range o.Routes {
		s.tracker.Route(key(n)).Acquire()()
	}
	s.server = &http.Server{Handler: queue.NewHandler(s.tracker, s.ended)}
	go func() { _ = s.server.Serve(l) }()
	return s
}

// connect opens KEDA's streams and polls each route every 15 s, as KEDA 2.21 does, all on one
// connection.
func (o *outside) connect(scaler string) error {
	connection, err := grpc.NewClient("passthrough:///"+scaler, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	keda := pb.NewExternalScalerClient(connection)
	for n := range o.Routes {
		go stay(func(ctx context.Context) (func() (*pb.IsActiveResponse, error), error) {
			stream, err := keda.StreamIsActive(ctx, ref(n))
			if err != nil {
				return nil, err
			}
			return stream.Recv, nil
		})
		go stay(func(ctx context.Context) (func() (*pb.GetMetricSpecResponse, error), error) {
			stream, err := keda.StreamMetricSpec(ctx, ref(n))
			if err != nil {
				return nil, err
			}
			return stream.Recv, nil
		})
	}
	if !o.Polled {
		return nil
	}
	go func() {
		poll := time.NewTicker(15 * time.Second / time.Duration(o.Routes))
		for n := 0; ; n++ {
			<-poll.C
			_, _ = keda.GetMetrics(context.Background(), &pb.GetMetricsRequest{ScaledObjectRef: ref(n % o.Routes)})
			_, _ = keda.IsActive(context.Background(), ref(n%o.Routes))
		}
	}()
	return nil
}

// stay keeps a stream open. About every minute it reopens the stream, as KEDA does when a
// ScaledObject changes.
func stay[T any](open func(context.Context) (receive func() (T, error), err error)) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute+rand.N(time.Minute))
		receive, err := open(ctx)
		for err == nil {
			_, err = receive()
		}
		cancel()
		if ctx.Err() == nil {
			<-time.After(2 * time.Second)
		}
	}
}

// The churn takes ten steps a second. The scaler's half is in churn.
const (
	stepInterval   = 100 * time.Millisecond
	restartsEvery  = 50  // an interceptor is restarted
	replacedEvery  = 100 // and every other time as another pod
	deletionsEvery = 100 // the world deletes a route, and creates it again half of this later
)

// step advances the world: requests come and go everywhere.
func (o *outside) step(n int) {
	for range 20 {
		tracker := o.servers[rand.N(len(o.servers))].tracker
		for range 5 {
			r := tracker.Route(key(rand.N(o.Routes)))
			release := r.Acquire()
			if rand.N(10) == 0 {
				r.Cold(rand.N(10*time.Second), nil)
			}
			time.AfterFunc(rand.N(2*time.Second), release)
		}
	}
	if n%restartsEvery == 0 {
		i := restarted(n, len(o.servers))
		l, old := o.servers[i].listener, o.servers[i]
		close(old.ended)
		_ = old.server.Close()
		if again, err := net.Listen("tcp", l.Addr().String()); err == nil {
			o.servers[i] = o.serve(again)
		}
	}
	if route, deleted := deletion(n, o.Routes); route >= 0 {
		for _, s := range o.servers {
			if deleted {
				s.tracker.Forget(key(route))
			} else {
				s.tracker.Route(key(route))
			}
		}
	}
}

// restarted returns the interceptor that restarts at one of the restartsEvery steps.
func restarted(step, interceptors int) int { return step / restartsEvery % interceptors }

// deletion returns the route that the step deletes or creates again, or -1.
func deletion(step, routes int) (route int, deleted bool) {
	if step%(deletionsEvery/2) != 0 {
		return -1, false
	}
	return step / deletionsEvery % routes, step%deletionsEvery == 0
}

func key(route int) string { return fmt.Sprintf("apps/route-%04d", route) }

// scaled is a scaler in this process, with the world outside.
type scaled struct {
	size
	sink    Sink
	uids    []int // of the interceptors' pods
	in      *json.Encoder
	answers *json.Decoder
}

// told hands the sink to the benchmark.
type told chan Sink

// Run implements Source.
func (t told) Run(ctx context.Context, sink Sink) error {
	t <- sink
	<-ctx.Done()
	return nil
}

// newScaled starts a scaled and waits until it is ready and KEDA is connected.
func newScaled(b *testing.B, s size) *scaled {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	role, err := json.Marshal(s)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+string(role))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	w := &scaled{size: s, uids: make([]int, s.Interceptors), in: json.NewEncoder(in), answers: json.NewDecoder(out)}
	var addresses []string
	if err := w.answers.Decode(&addresses); err != nil {
		b.Fatal(err)
	}
	processes := make(map[string]string)
	for n, address := range addresses {
		processes[fmt.Sprintf("%s:%d", podAddress(n), adminPort)] = address
	}
	sinks, l := make(told, 1), listen.Loopback(b)
	a, err := New(config.Config{
		Target:    config.Target{Namespace: "keda", Service: "admin", Port: adminPort},
		QueueTick: 500 * time.Millisecond, StreamInterval: 200 * time.Millisecond,
	}, Deps{Source: sinks, GRPC: l, Log: logr.Discard(), DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, processes[address])
	}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	w.sink = <-sinks
	w.list()
	for n := range s.Routes {
		w.sink.SetRoute(interceptorRoute(n))
	}
	w.sink.Synced()
	select {
	case <-a.collector.Ready():
	case <-time.After(time.Minute):
		b.Fatal("the interceptors are not heard")
	}
	w.tell(b, instruction{Scaler: l.Addr().String()})
	return w
}

// list reports the interceptors to the scaler.
func (w *scaled) list() {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "keda", Name: "admin-1"}, AddressType: discoveryv1.AddressTypeIPv4,
	}
	for n, uid := range w.uids {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{podAddress(n)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: types.UID(fmt.Sprint(n, "-", uid))},
		})
	}
	w.sink.SetSlice(slice)
}

// tell sends an instruction to the world outside, and waits until it has obeyed.
func (w *scaled) tell(b *testing.B, i instruction) {
	b.Helper()
	var done string
	if err := errors.Join(w.in.Encode(i), w.answers.Decode(&done)); err != nil {
		b.Fatal(err)
	}
}

// churn takes one step on both sides.
func (w *scaled) churn(b *testing.B, step int) {
	b.Helper()
	w.tell(b, instruction{Step: step})
	if step%replacedEvery == 0 {
		w.uids[restarted(step, w.Interceptors)]++
		w.list()
	}
	if route, deleted := deletion(step, w.Routes); deleted {
		w.sink.DeleteRoute(interceptorRoute(route))
	} else if route >= 0 {
		w.sink.SetRoute(interceptorRoute(route))
	}
}

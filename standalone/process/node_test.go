package process

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kedacore/http-add-on/tests/support/capture"
)

const patience = time.Minute

// endpoints passes on the addresses of the only port.
type endpoints chan []string

func (e endpoints) Update(_, _ string, ready map[string][]string) { e <- ready["web"] }

// expect waits for so many ready addresses.
func (e endpoints) expect(t *testing.T, n int) []string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case addresses := <-e:
			if len(addresses) == n {
				return addresses
			}
		case <-late:
			t.Fatalf("there are not %d ready addresses", n)
		}
	}
}

func serviceOf(app string) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = "default", app
	s.Spec.Selector = map[string]string{"app": app}
	s.Spec.Ports = []corev1.ServicePort{{Name: "web", Port: 80, TargetPort: intstr.FromString("http")}}
	return s
}

func start(t *testing.T, d *appsv1.Deployment, o Options) (*Node, endpoints, types.NamespacedName) {
	t.Helper()
	e := make(endpoints, 1000)
	o.Endpoints = e
	if o.Output == nil {
		o.Output = io.Discard
	}
	n := NewNode(o)
	t.Cleanup(n.Close)
	n.Apply([]*appsv1.Deployment{d}, []*corev1.Service{serviceOf(d.Name)})
	return n, e, types.NamespacedName{Namespace: "default", Name: d.Name}
}

func get(t *testing.T, address, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestLifecycle(t *testing.T) {
	var mu sync.Mutex
	var phases []string
	log := funcr.New(func(_, args string) {
		if _, message, found := strings.Cut(args, `"msg"="workload is `); found {
			phase, _, _ := strings.Cut(message, `"`)
			mu.Lock()
			phases = append(phases, phase)
			mu.Unlock()
		}
	}, funcr.Options{})
	var out capture.Output
	n, e, key := start(t, deploymentOf("serve", map[string]string{"WHERE": "http://$(POD_IP):$(PORT)"}), Options{Log: log, Output: &out})
	n.Scale(key, 2)
	addresses := e.expect(t, 2)
	if addresses[0] == addresses[1] {
		t.Fatalf("both replicas are at %s", addresses[0])
	}
	for _, address := range addresses {
		env := "\n" + get(t, address, "/env") + "\n"
		host, _, _ := strings.Cut(address, ":")
		for _, want := range []string{"HOST=" + host, "POD_IP=" + host, "PORT=8000", "WHERE=http://" + address} {
			if !strings.Contains(env, "\n"+want+"\n") {
				t.Errorf("%s is not in the environment", want)
			}
		}
	}

	n.Scale(key, 1)
	if left := e.expect(t, 1); left[0] != addresses[0] {
		t.Errorf("%v is left, want the first replica, %s", left, addresses[0])
	}
	n.Scale(key, 0)
	e.expect(t, 0)
	n.Close()
	for _, address := range addresses {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Errorf("a process still listens on %s", address)
		}
	}
	if !strings.Contains(out.String(), "serve-0 | serving\n") || !strings.Contains(out.String(), "serve-1 | serving\n") {
		t.Errorf("output %q", out.String())
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(phases, " "); got != "sleeping waking ready stopping sleeping" {
		t.Errorf("phases %q", got)
	}
}

func TestExitIsNotReadyAndRestarted(t *testing.T) {
	n, e, key := start(t, deploymentOf("serve", nil), Options{Log: logr.Discard(), Backoff: time.Millisecond})
	n.Scale(key, 1)
	address := e.expect(t, 1)[0]
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if response, err := client.Get("http://" + address + "/exit"); err == nil {
		_ = response.Body.Close()
	}
	e.expect(t, 0)
	if again := e.expect(t, 1)[0]; again != address {
		t.Errorf("the replica moved from %s to %s", address, again)
	}
}

func TestCrashBackoff(t *testing.T) {
	delays := make(chan string, 100)
	log := funcr.New(func(_, args string) {
		if _, delay, found := strings.Cut(args, `"delay"="`); found && strings.Contains(args, `"reason"="exit status 3"`) {
			delays <- strings.TrimSuffix(delay, `"`)
		}
	}, funcr.Options{})
	n, _, key := start(t, deploymentOf("exit", nil), Options{Log: log, Backoff: 10 * time.Millisecond, MaxBackoff: time.Hour})
	n.Scale(key, 1)
	for _, want := range []string{"10ms", "20ms", "40ms"} {
		if got := <-delays; got != want {
			t.Errorf("delay %s, want %s", got, want)
		}
	}
}

func TestDelay(t *testing.T) {
	o := Options{Backoff: time.Second, MaxBackoff: 30 * time.Second}
	delay := time.Duration(0)
	for _, step := range []struct{ ran, want time.Duration }{
		{0, time.Second},
		{time.Second, 2 * time.Second},
		{0, 4 * time.Second},
		{30 * time.Second, 8 * time.Second},
		{0, 16 * time.Second},
		{0, 30 * time.Second},
		{0, 30 * time.Second},
		{time.Minute, time.Second},
	} {
		if delay = o.delay(delay, step.ran); delay != step.want {
			t.Errorf("delay %s, want %s", delay, step.want)
		}
	}
}

func TestProgramThatDoesNotExist(t *testing.T) {
	reasons := make(chan string, 100)
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "reason") {
			reasons <- args
		}
	}, funcr.Options{})
	d := deploymentOf("serve", nil)
	d.Spec.Template.Spec.Containers[0].Command = []string{"./no-such-program"}
	n, _, key := start(t, d, Options{Log: log, Backoff: time.Hour})
	n.Scale(key, 1)
	if reason := <-reasons; !strings.Contains(reason, "no-such-program") {
		t.Errorf("reason %s", reason)
	}
}

// TestPortInUse: another program that listens there must not get the requests.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 100)
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "in use") {
			reasons <- args
		}
	}, funcr.Options{})
	d := deploymentOf("serve", nil)
	d.Spec.Template.Spec.Containers[0].Ports[0].ContainerPort = int32(l.Addr().(*net.TCPAddr).Port)
	n, e, key := start(t, d, Options{Log: log, Backoff: time.Millisecond})
	n.Scale(key, 1)
	<-reasons
	_ = l.Close()
	e.expect(t, 1)
}

func TestStubbornProcessIsKilled(t *testing.T) {
	l, calls := listen(t)
	defer func() { _ = l.Close() }()
	d := deploymentOf("stubborn", map[string]string{"CALL": l.Addr().String()})
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(0))
	n, e, key := start(t, d, Options{Log: logr.Discard()})
	n.Scale(key, 1)
	gone := calls(t, "stubborn")
	e.expect(t, 1)
	n.Scale(key, 0)
	e.expect(t, 0)
	gone(t)
}

func TestChildrenOfAProcessEndWithIt(t *testing.T) {
	l, calls := listen(t)
	defer func() { _ = l.Close() }()
	n, e, key := start(t, deploymentOf("family", map[string]string{"CALL": l.Addr().String()}), Options{Log: logr.Discard(), Backoff: time.Hour})
	n.Scale(key, 1)
	parent, child := calls(t, "parent"), calls(t, "child")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if response, err := client.Get("http://" + e.expect(t, 1)[0] + "/exit"); err == nil {
		_ = response.Body.Close()
	}
	parent(t)
	child(t)
}

// TestNothingSurvivesKill9: the node is killed without a chance to clean up.
func TestNothingSurvivesKill9(t *testing.T) {
	l, calls := listen(t)
	defer func() { _ = l.Close() }()
	node := exec.Command(os.Args[0])
	node.Env = append(os.Environ(), "PROGRAM=node", "CALL="+l.Addr().String())
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	self, parent, child := calls(t, "node"), calls(t, "parent"), calls(t, "child")
	if err := node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = node.Wait()
	self(t)
	parent(t)
	child(t)
}

func TestChangedTemplateReplacesProcesses(t *testing.T) {
	n, e, key := start(t, deploymentOf("serve", map[string]string{"VERSION": "1"}), Options{Log: logr.Discard()})
	n.Scale(key, 1)
	e.expect(t, 1)
	n.Apply([]*appsv1.Deployment{deploymentOf("serve", map[string]string{"VERSION": "2"})}, []*corev1.Service{serviceOf("serve")})
	e.expect(t, 0)
	if env := get(t, e.expect(t, 1)[0], "/env"); !strings.Contains(env, "VERSION=2") {
		t.Error("the old process is still there")
	}
	n.Apply(nil, []*corev1.Service{serviceOf("serve")})
	e.expect(t, 0)
}

// listen accepts calls from processes. The returned function waits for the call of a process by
// name, and returns a function that waits for its end.
func listen(t *testing.T) (net.Listener, func(*testing.T, string) func(*testing.T)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	callers := map[string]net.Conn{}
	return l, func(t *testing.T, who string) func(*testing.T) {
		t.Helper()
		for callers[who] == nil {
			if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			conn, err := l.Accept()
			if err != nil {
				t.Fatalf("%s did not call: %v", who, err)
			}
			name, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			callers[strings.TrimSpace(name)] = conn
		}
		conn := callers[who]
		return func(t *testing.T) {
			t.Helper()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			_, err := conn.Read(make([]byte, 1))
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s is still alive", who)
			}
			_ = conn.Close()
		}
	}
}

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/support/apiserver"
)

// Measures the shipped binary on a cluster with 100 routes without requests. It used 29.3 MiB, of
// which 21.6 are pages of the binary. The promise is 32 MiB. The number of pages that the kernel
// maps around each that is read varies by a few MiB.
func TestIdleInterceptorIsSmall(t *testing.T) {
	const routes, most = 100, 36 << 20
	i := startInterceptor(t, clusterOf(routes)...)
	i.awaitRoutes(routes)
	var size int64
	for deadline := time.Now().Add(time.Minute); ; { // what the start has left is collected
		<-time.After(3 * time.Second)
		var err error
		if size, err = harness.RSS(i.pid); err != nil {
			t.Fatal(err)
		}
		if size <= most || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d routes: %.1f MiB resident", routes, float64(size)/(1<<20))
	if size > most {
		t.Errorf("an idle interceptor uses %d KiB, more than %d", size>>10, most>>10)
	}
}

// shipped is the interceptor's binary, and the API server that it reads.
type shipped struct {
	t   testing.TB
	api *apiserver.Server
	pid int
	// host:port of each of its ports.
	proxy, admin, profiles string
}

// startInterceptor builds the binary and runs it until the test ends.
func startInterceptor(t testing.TB, objects ...apiserver.Object) *shipped {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "interceptor")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", binary, "../../interceptor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the interceptor: %v\n%s", err, out)
	}
	profiles, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	i := &shipped{t: t, api: apiserver.Start(t, objects...), profiles: profiles}
	process := exec.Command(binary)
	process.Env = append(os.Environ(), "KUBECONFIG="+i.api.Kubeconfig(t), "KEDA_HTTP_LISTEN_ADDRESS=127.0.0.1", "PROFILING_BIND_ADDRESS="+profiles,
		"KEDA_HTTP_PROXY_PORT=0", "KEDA_HTTP_ADMIN_PORT=0", "OTEL_PROM_EXPORTER_PORT=0", "KEDA_HTTP_SHUTDOWN_DELAY=0s", "KEDA_HTTP_DRAIN_TIMEOUT=1s")
	log, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	i.pid = process.Process.Pid
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		<-read
		_ = process.Wait()
	})
	serving := make(chan struct{ Msg, Address, Admin string }, 1)
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, Address, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- line
			}
		}
	}()
	select {
	case line := <-serving:
		i.proxy, i.admin = line.Address, line.Admin
	case <-time.After(time.Minute):
		t.Fatal("the interceptor does not serve")
	}
	return i
}

// await polls for a minute.
func (i *shipped) await(what string, done func(queue.Counts) bool) {
	i.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(i.counts()); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.t.Fatalf("waited in vain for %s; the interceptor reports %d routes", what, len(i.counts()))
		}
	}
}

func (i *shipped) awaitRoutes(n int) {
	i.t.Helper()
	i.await(fmt.Sprintf("%d routes", n), func(counts queue.Counts) bool { return len(counts) == n })
}

// counts is what the interceptor reports, nil if it does not.
func (i *shipped) counts() queue.Counts {
	response, err := http.Get("http://" + i.admin + queue.Path)
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	var counts queue.Counts
	if json.NewDecoder(response.Body).Decode(&counts) != nil {
		return nil
	}
	return counts
}

// connect opens a connection of a client, which the test closes.
func (i *shipped) connect() net.Conn {
	i.t.Helper()
	c, err := net.Dial("tcp", i.proxy)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = c.Close() })
	return c
}

// clusterOf returns so many routes with their Services and EndpointSlices.
func clusterOf(routes int) (objects []apiserver.Object) {
	for n := range routes {
		name := fmt.Sprintf("app-%d", n)
		for _, object := range []apiserver.Object{
			apiserver.Service(name, ""), apiserver.Endpoints(name, 8080), apiserver.Route(name, name+".example.com", nil),
		} {
			metadata := object["metadata"].(apiserver.Object)
			metadata["annotations"] = apiserver.Object{"note": strings.Repeat("x", 200)}
			metadata["managedFields"] = []apiserver.Object{{
				"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
				"fieldsV1": apiserver.Object{"f:spec": apiserver.Object{"f:ports": apiserver.Object{}}},
			}}
			objects = append(objects, object)
		}
	}
	return objects
}

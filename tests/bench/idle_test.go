package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/bench/harness"
)

// The binary as it is shipped, on a cluster with 100 routes that no one asks for:
// it used 29.3 MiB, of which 21.6 are pages of the binary. The promise is 32 MiB; how
// many pages the kernel maps around each that is read differs by a few MiB.
func TestIdleInterceptorIsSmall(t *testing.T) {
	const routes, most = 100, 36 << 20
	folder := t.TempDir()
	binary := filepath.Join(folder, "interceptor")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", binary, "../../interceptor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the interceptor: %v\n%s", err, out)
	}
	over := make(chan struct{})
	api := httptest.NewServer(cluster(routes, over))
	defer api.Close()
	defer close(over)
	kubeconfig := filepath.Join(folder, "kubeconfig")
	if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: c
`, api.URL), 0o600); err != nil {
		t.Fatal(err)
	}

	process := exec.CommandContext(t.Context(), binary)
	process.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig,
		"KEDA_HTTP_PROXY_PORT=0", "KEDA_HTTP_ADMIN_PORT=0", "OTEL_PROM_EXPORTER_PORT=0", "KEDA_HTTP_SHUTDOWN_DELAY=0s")
	log, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
	}()
	admin := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				admin <- "http://127.0.0.1" + line.Admin[strings.LastIndex(line.Admin, ":"):]
			}
		}
	}()
	var address string
	select {
	case address = <-admin:
	case <-time.After(time.Minute):
		t.Fatal("the interceptor does not serve")
	}
	for deadline := time.Now().Add(time.Minute); reported(address) != routes; <-time.After(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the interceptor reports %d routes", reported(address))
		}
	}
	<-time.After(3 * time.Second) // what the start has left is collected
	size, err := harness.RSS(process.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d routes: %.1f MiB resident", routes, float64(size)/(1<<20))
	if size > most {
		t.Errorf("an idle interceptor uses %d KiB, more than %d", size>>10, most>>10)
	}
}

// reported is how many routes an interceptor reports.
func reported(admin string) int {
	response, err := http.Get(admin + queue.Path)
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	var counts queue.Counts
	if json.NewDecoder(response.Body).Decode(&counts) != nil {
		return -1
	}
	return len(counts)
}

// object is an object of the API.
type object = map[string]any

// cluster is an API server that lists so many routes with their Services and
// EndpointSlices. Nothing ever changes, so its watches are silent until over is
// closed.
func cluster(routes int, over <-chan struct{}) http.Handler {
	var services, slices, interceptorRoutes []object
	for i := range routes {
		name := fmt.Sprintf("app-%d", i)
		metadata := func(name string, labels object) object {
			return object{
				"name": name, "namespace": "apps", "uid": "uid-" + name, "resourceVersion": "1", "generation": 1, "labels": labels,
				"annotations": object{"note": strings.Repeat("x", 200)},
				"managedFields": []object{{
					"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
					"fieldsV1": object{"f:spec": object{"f:ports": object{}}},
				}},
			}
		}
		services = append(services, object{
			"metadata": metadata(name, nil),
			"spec":     object{"ports": []object{{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}}, "clusterIP": "10.0.0.1"},
		})
		slices = append(slices, object{
			"metadata": metadata(name+"-1", object{"kubernetes.io/service-name": name}), "addressType": "IPv4",
			"endpoints": []object{{"addresses": []string{"10.1.0.1"}, "conditions": object{"ready": true}}},
			"ports":     []object{{"name": "http", "port": 8080, "protocol": "TCP"}},
		})
		interceptorRoutes = append(interceptorRoutes, object{
			"metadata": metadata(name, nil),
			"spec": object{
				"target": object{"service": name, "port": 80}, "rules": []object{{"hosts": []string{name + ".example.com"}}},
				"scalingMetric": object{"concurrency": object{"targetValue": 10}},
			},
		})
	}
	mux := http.NewServeMux()
	for _, kind := range []struct {
		path, version, name string
		items               []object
	}{
		{"/api/v1/services", "v1", "Service", services},
		{"/api/v1/configmaps", "v1", "ConfigMap", nil},
		{"/apis/discovery.k8s.io/v1/endpointslices", "discovery.k8s.io/v1", "EndpointSlice", slices},
		{"/apis/http.keda.sh/v1beta1/interceptorroutes", "http.keda.sh/v1beta1", "InterceptorRoute", interceptorRoutes},
		{"/apis/http.keda.sh/v1alpha1/httpscaledobjects", "http.keda.sh/v1alpha1", "HTTPScaledObject", nil},
	} {
		for _, item := range kind.items {
			item["apiVersion"], item["kind"] = kind.version, kind.name
		}
		mux.HandleFunc(kind.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			query := r.URL.Query()
			switch {
			case query.Has("sendInitialEvents"): // then clients list
				w.WriteHeader(http.StatusUnprocessableEntity)
				_ = json.NewEncoder(w).Encode(object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422})
			case query.Has("watch"):
				_ = http.NewResponseController(w).Flush()
				select {
				case <-over:
				case <-r.Context().Done():
				}
			default:
				_ = json.NewEncoder(w).Encode(object{
					"apiVersion": kind.version, "kind": kind.name + "List",
					"metadata": object{"resourceVersion": "1"}, "items": append([]object{}, kind.items...),
				})
			}
		})
	}
	return mux
}

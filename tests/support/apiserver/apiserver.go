// Package apiserver is as much of a Kubernetes API server as the interceptor's informers
// need: it lists and watches objects from memory. Tests that run the real binary without
// a cluster give it by a kubeconfig.
package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Object is an object of the API with apiVersion, kind and metadata.
type Object = map[string]any

// kinds are the paths of the kinds that are served, by kind.
var kinds = map[string]string{
	"Service":          "/api/v1/services",
	"ConfigMap":        "/api/v1/configmaps",
	"EndpointSlice":    "/apis/discovery.k8s.io/v1/endpointslices",
	"InterceptorRoute": "/apis/http.keda.sh/v1beta1/interceptorroutes",
	"HTTPScaledObject": "/apis/http.keda.sh/v1alpha1/httpscaledobjects",
}

// versions are the API versions of the kinds.
var versions = map[string]string{
	"Service": "v1", "ConfigMap": "v1", "EndpointSlice": "discovery.k8s.io/v1",
	"InterceptorRoute": "http.keda.sh/v1beta1", "HTTPScaledObject": "http.keda.sh/v1alpha1",
}

// Server serves objects. It is safe for concurrent use.
type Server struct {
	server *httptest.Server
	over   chan struct{}

	mu      sync.Mutex
	version int
	items   map[string]map[string]Object // by kind and name
	watches map[string]map[chan Object]struct{}
}

// Start serves objects until the test ends.
func Start(t testing.TB, objects ...Object) *Server {
	s := &Server{over: make(chan struct{}), items: make(map[string]map[string]Object), watches: make(map[string]map[chan Object]struct{})}
	mux := http.NewServeMux()
	for kind, path := range kinds {
		s.items[kind], s.watches[kind] = make(map[string]Object), make(map[chan Object]struct{})
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, kind) })
	}
	for _, object := range objects {
		s.Set(object)
	}
	s.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(s.over)
		s.server.Close()
	})
	return s
}

// Kubeconfig writes a file that leads to the server, and returns its path.
func (s *Server) Kubeconfig(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, fmt.Appendf(nil, `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: c
`, s.server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Set makes or replaces an object, whose metadata gets what a server adds.
func (s *Server) Set(object Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, metadata := object["kind"].(string), object["metadata"].(Object)
	name := metadata["name"].(string)
	s.version++
	metadata["resourceVersion"], metadata["generation"], metadata["uid"] = strconv.Itoa(s.version), 1, "uid-"+name
	object["apiVersion"] = versions[kind]
	event := "ADDED"
	if s.items[kind][name] != nil {
		event = "MODIFIED"
	}
	s.items[kind][name] = object
	for watch := range s.watches[kind] {
		watch <- Object{"type": event, "object": object}
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, kind string) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	switch {
	case query.Has("sendInitialEvents"): // then clients list
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(Object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422})
	case query.Has("watch"):
		s.watch(w, r, kind, query.Get("resourceVersion"))
	default:
		s.list(w, kind)
	}
}

func (s *Server) list(w http.ResponseWriter, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := make([]Object, 0, len(s.items[kind]))
	for _, item := range s.items[kind] {
		items = append(items, item)
	}
	_ = json.NewEncoder(w).Encode(Object{
		"apiVersion": versions[kind], "kind": kind + "List",
		"metadata": Object{"resourceVersion": strconv.Itoa(s.version)}, "items": items,
	})
}

// watch sends what has changed since a version, and then every change.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, kind, since string) {
	after, _ := strconv.Atoi(since)
	events := make(chan Object, 1024)
	s.mu.Lock()
	for _, item := range s.items[kind] {
		if version, _ := strconv.Atoi(item["metadata"].(Object)["resourceVersion"].(string)); version > after {
			events <- Object{"type": "ADDED", "object": item}
		}
	}
	s.watches[kind][events] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches[kind], events)
	}()
	control := http.NewResponseController(w)
	for _ = control.Flush(); ; _ = control.Flush() {
		select {
		case event := <-events:
			_ = json.NewEncoder(w).Encode(event)
		case <-s.over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// Service returns a Service with one port, named "http", for a protocol that may be empty.
func Service(name, protocol string) Object {
	port := Object{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}
	if protocol != "" {
		port["appProtocol"] = protocol
	}
	return Object{"kind": "Service", "metadata": Object{"name": name, "namespace": "apps"}, "spec": Object{"ports": []Object{port}, "clusterIP": "10.0.0.1"}}
}

// Endpoints returns an EndpointSlice of a Service: ready at a port of 127.0.0.1, or
// nowhere if that is 0.
func Endpoints(service string, port int) Object {
	endpoints := []Object{}
	if port != 0 {
		endpoints = append(endpoints, Object{"addresses": []string{"127.0.0.1"}, "conditions": Object{"ready": true}})
	}
	return Object{
		"kind":        "EndpointSlice",
		"metadata":    Object{"name": service + "-1", "namespace": "apps", "labels": Object{"kubernetes.io/service-name": service}},
		"addressType": "IPv4", "endpoints": endpoints,
		"ports": []Object{{"name": "http", "port": max(port, 1), "protocol": "TCP"}},
	}
}

// Route returns an InterceptorRoute of a host to a Service, with more of a spec.
func Route(name, host string, more Object) Object {
	spec := Object{
		"target": Object{"service": name, "port": 80}, "rules": []Object{{"hosts": []string{host}}},
		"scalingMetric": Object{"concurrency": Object{"targetValue": 10}},
	}
	for field, value := range more {
		spec[field] = value
	}
	return Object{"kind": "InterceptorRoute", "metadata": Object{"name": name, "namespace": "apps"}, "spec": spec}
}

// Command fleet runs interceptors that share only their routes and the pods of their target, for
// tests of several interceptors together. It is a program because the tests that need it belong
// to another module.
//
//	fleet -n 2 -f routes.yaml
//
// It writes a line with the address of each interceptor. Each line of its input is a JSON object:
// the addresses of the ready pods of the Service "app" in the namespace "default", by UID. Once
// they are in force, fleet repeats the line. It ends with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

func main() {
	n := flag.Int("n", 2, "number of interceptors")
	file := flag.String("f", "", "file with routes and Services")
	flag.Parse()
	if err := run(*n, *file, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// file is a routesync.Source: the objects of a file.
type file []byte

// Run implements routesync.Source.
func (f file) Run(ctx context.Context, sink routesync.Sink) error {
	all, err := objects.Decode(f)
	if err != nil {
		return fmt.Errorf("reading objects: %w", err)
	}
	for _, u := range all {
		if u.GetNamespace() == "" {
			u.SetNamespace("default")
		}
		if u.GetKind() != "Service" {
			sink.Set(u)
			continue
		}
		var service corev1.Service
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &service); err != nil {
			return fmt.Errorf("reading a Service: %w", err)
		}
		sink.Set(&service)
	}
	sink.Synced()
	<-ctx.Done()
	return nil
}

// settings is the environment of each interceptor.
func settings(name string) (string, bool) {
	value, ok := map[string]string{
		"KEDA_HTTP_PROXY_PORT": "0", "KEDA_HTTP_ADMIN_PORT": "0", "OTEL_PROM_EXPORTER_ENABLED": "false",
		"KEDA_HTTP_SHUTDOWN_DELAY": "0s", "KEDA_HTTP_DRAIN_TIMEOUT": "1s",
	}[name]
	return value, ok
}

func run(n int, path string, in io.Reader, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	cfg, err := config.Load(settings)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	var stores []*endpoints.Store
	for range n {
		store := endpoints.NewStore()
		interceptor, err := app.New(cfg, app.Deps{Source: file(text), Store: store, Log: logr.Discard()})
		if err != nil {
			return err
		}
		stores = append(stores, store)
		group.Go(func() error { return interceptor.Run(ctx) })
		if _, err := fmt.Fprintln(out, interceptor.ProxyAddr()); err != nil {
			return err
		}
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var addresses map[string]string
		if err := json.Unmarshal(lines.Bytes(), &addresses); err != nil {
			return fmt.Errorf("reading the pods: %w", err)
		}
		var ready []endpoints.Pod
		for uid, address := range addresses {
			ready = append(ready, endpoints.Pod{UID: uid, Addresses: []string{address}})
		}
		for _, store := range stores {
			store.UpdatePods("default", "app", map[string]endpoints.Pods{"http": {Ready: ready}})
		}
		if _, err := fmt.Fprintln(out, lines.Text()); err != nil {
			return err
		}
	}
	cancel()
	return group.Wait()
}

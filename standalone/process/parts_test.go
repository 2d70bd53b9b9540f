package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestExpand(t *testing.T) {
	env := environment{}
	env.set("A", "1")
	env.set("EMPTY", "")
	for in, want := range map[string]string{
		"":                "",
		"$(A)":            "1",
		"x$(A)y$(A)":      "x1y1",
		"$(EMPTY)":        "",
		"$(UNKNOWN)":      "$(UNKNOWN)",
		"$$(A)":           "$(A)",
		"$$$(A)":          "$1",
		"$A ${A} $( $":    "$A ${A} $( $",
		"$(A":             "$(A",
		"$(UNKNOWN $(A))": "$(UNKNOWN 1)",
	} {
		if got := env.expand(in); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCommand(t *testing.T) {
	d := deploymentOf("serve", nil)
	c := &d.Spec.Template.Spec.Containers[0]
	c.Command, c.Args, c.WorkingDir = []string{"/bin/echo", "$(PORT)"}, []string{"$(NAME)", "$(LATER)"}, "/tmp"
	c.Env = []corev1.EnvVar{
		{Name: "EARLY", Value: "$(LATER)"},
		{Name: "LATER", Value: "x"},
		{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: "NAMESPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
		{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "HOST", Value: "mine"},
	}
	l := &lease{host: "127.0.0.1", ports: map[int32]int32{8000: 9999}}
	cmd, err := command(d, "serve-0", l, []string{"PATH=/bin", "PORT=1"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/bin/echo", "9999", "serve-0", "x"}; !slices.Equal(cmd.Args, want) || cmd.Dir != "/tmp" {
		t.Errorf("args %q in %q, want %q", cmd.Args, cmd.Dir, want)
	}
	want := []string{
		"PATH=/bin", "PORT=1", "HOST=mine", "POD_IP=127.0.0.1", "PORT=9999", "EARLY=$(LATER)", "LATER=x",
		"NAME=serve-0", "NAMESPACE=default", "IP=127.0.0.1",
	}
	if !slices.Equal(cmd.Env, want) {
		t.Errorf("env %q\nwant %q", cmd.Env, want)
	}
}

func TestLeases(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		lease := leaserFor(goos)
		a, err := lease("default/a-0", []int32{8000, 9000})
		if err != nil {
			t.Fatal(err)
		}
		b, err := lease("default/a-0", []int32{8000})
		if err != nil {
			t.Fatal(err)
		}
		addresses := []string{a.address(8000), a.address(9000), b.address(8000)}
		slices.Sort(addresses)
		if len(slices.Compact(addresses)) != 3 {
			t.Errorf("%s: addresses %v", goos, addresses)
		}
		for _, address := range addresses {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Errorf("%s: %v", goos, err)
				continue
			}
			_ = l.Close()
		}
		a.release()
		if c, err := lease("default/a-0", []int32{8000}); err != nil || goos == "linux" && c.host != a.host {
			t.Errorf("%s: the same replica had %s, now %v, %v", goos, a.host, c, err)
		} else {
			c.release()
		}
		b.release()
	}
}

func TestProbe(t *testing.T) {
	failed := errors.New("failed")
	// results of the checks, in order; the last one stays.
	tests := map[string]struct {
		spec    corev1.Probe
		results []error
		want    []string
	}{
		"eager until it is ready first": {
			results: []error{failed, failed, nil},
			want:    []string{"50ms true"},
		},
		"delayed":     {spec: corev1.Probe{InitialDelaySeconds: 2}, results: []error{nil}, want: []string{"2s true"}},
		"by period":   {spec: corev1.Probe{PeriodSeconds: 5}, results: []error{nil, failed, failed, failed, nil}, want: []string{"0s true", "15s false", "20s true"}},
		"thresholds":  {spec: corev1.Probe{PeriodSeconds: 1, SuccessThreshold: 2, FailureThreshold: 1}, results: []error{nil, nil, failed, nil, nil}, want: []string{"1s true", "2s false", "4s true"}},
		"a lone miss": {spec: corev1.Probe{PeriodSeconds: 1}, results: []error{nil, failed, failed, nil, failed, failed, nil}, want: []string{"0s true"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.spec.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}
				container := &corev1.Container{ReadinessProbe: &test.spec}
				p := newProbe(container, &lease{host: "127.0.0.1"})
				calls := 0
				p.check = func(context.Context) error {
					calls++
					return test.results[min(calls, len(test.results))-1]
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				var got []string
				p.watch(ctx, func(ready bool, _ error) {
					got = append(got, fmt.Sprint(time.Since(start), " ", ready))
				})
				if !slices.Equal(got, test.want) {
					t.Errorf("changes %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestHTTPGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/redirect":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case r.URL.Path != "/ok" || r.Host != "named" || r.Header.Get("X-Probe") != "1":
			http.Error(w, "no", http.StatusNotFound)
		}
	}))
	defer server.Close()
	headers := []corev1.HTTPHeader{{Name: "host", Value: "named"}, {Name: "X-Probe", Value: "1"}}
	address := strings.TrimPrefix(server.URL, "http://")
	for path, want := range map[string]bool{"/ok": true, "ok": true, "/redirect": true, "/other": false} {
		err := httpGet(&corev1.HTTPGetAction{Path: path, HTTPHeaders: headers}, address)(t.Context())
		if (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := httpGet(&corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS}, address)(t.Context()); err == nil {
		t.Error("a plain server passes a probe by TLS")
	}
}

func TestTargetPort(t *testing.T) {
	d := deploymentOf("serve", nil)
	for port, want := range map[corev1.ServicePort]int32{
		{Port: 80}: 80,
		{Port: 80, TargetPort: intstr.FromInt32(8000)}:     8000,
		{Port: 80, TargetPort: intstr.FromInt32(9999)}:     9999,
		{Port: 80, TargetPort: intstr.FromString("http")}:  8000,
		{Port: 80, TargetPort: intstr.FromString("other")}: 0,
	} {
		if got := targetPort(port, d); got != want {
			t.Errorf("%v: %d, want %d", port, got, want)
		}
	}
}

func TestBehind(t *testing.T) {
	serve, other := deploymentOf("serve", nil), deploymentOf("serve", nil)
	other.Namespace = "other"
	for _, test := range []struct {
		reason string
		change func(s *corev1.Service)
		behind int
		want   string
	}{
		{"the Deployment of its namespace", func(*corev1.Service) {}, 1, ""},
		{"another one's labels", func(s *corev1.Service) { s.Spec.Selector["app"] = "x" }, 0, `the selector of Service "serve" matches no Deployment's template`},
		{"no selector", func(s *corev1.Service) { s.Spec.Selector = nil }, 0, `Service "serve" has no selector`},
		{"an unknown name", func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString("web") }, 0,
			`Deployment "serve" has no port named "web", which is the targetPort of Service "serve"`},
	} {
		s := serviceOf("serve")
		test.change(s)
		behind, reason := Behind(s, &s.Spec.Ports[0], []*appsv1.Deployment{other, serve})
		if len(behind) != test.behind || reason != test.want {
			t.Errorf("%s: %d Deployments, %q", test.reason, len(behind), reason)
		}
	}
}

func TestOutput(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("x", maxLine+1)
	(&output{to: &b}).copy("a-0", strings.NewReader("one\r\n\ntwo\n"+long+"\nend"))
	want := "a-0 | one\na-0 | \na-0 | two\na-0 | " + long[:maxLine] + "\na-0 | x\na-0 | end\n"
	if b.String() != want {
		t.Errorf("output of %d bytes, want %d", b.Len(), len(want))
	}
}

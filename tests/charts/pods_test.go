package charts_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	interceptor "github.com/kedacore/http-add-on/interceptor/config"
	operator "github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/environment"
	scaler "github.com/kedacore/http-add-on/scaler/config"
)

// containers runs a test on each container of every golden render, kustomize's too.
func containers(t *testing.T, test func(*testing.T, corev1.PodSpec, corev1.Container)) {
	files := []string{"kustomize.yaml"}
	for _, r := range releases() {
		files = append(files, r.golden)
	}
	for _, file := range files {
		for name, d := range of[appsv1.Deployment](t, decode(t, read(t, golden(file))), "Deployment") {
			for _, container := range d.Spec.Template.Spec.Containers {
				t.Run(file+"/"+name, func(t *testing.T) { test(t, d.Spec.Template.Spec, container) })
			}
		}
	}
}

// Checks everything that the restricted Pod Security Standard requires, and a read-only root file
// system.
func TestSecurityContexts(t *testing.T) {
	containers(t, func(t *testing.T, pod corev1.PodSpec, container corev1.Container) {
		c, p := container.SecurityContext, pod.SecurityContext
		if c == nil || p == nil {
			t.Fatal("no security context")
		}
		for what, ok := range map[string]bool{
			"runAsNonRoot":                  is(c.RunAsNonRoot, true),
			"runAsNonRoot of the pod":       is(p.RunAsNonRoot, true),
			"readOnlyRootFilesystem":        is(c.ReadOnlyRootFilesystem, true),
			"allowPrivilegeEscalation":      is(c.AllowPrivilegeEscalation, false),
			"privileged":                    is(c.Privileged, false),
			"capabilities":                  c.Capabilities != nil && slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.Capabilities.Add) == 0,
			"seccompProfile":                c.SeccompProfile != nil && c.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
			"seccompProfile of the pod":     p.SeccompProfile != nil && p.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
			"no namespace of the host":      !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
			"no variables of the Services'": is(pod.EnableServiceLinks, false),
		} {
			if !ok {
				t.Errorf("%s is not as it must be", what)
			}
		}
	})
}

func is(have *bool, want bool) bool { return have != nil && *have == want }

func TestProbes(t *testing.T) {
	containers(t, func(t *testing.T, _ corev1.PodSpec, container corev1.Container) {
		live, ready := container.LivenessProbe, container.ReadinessProbe
		if live == nil || ready == nil {
			t.Fatal("a probe is missing")
		}
		paths := map[string][2]string{
			"keda-add-ons-http-interceptor": {"admin/livez", "admin/readyz"},
			"keda-add-ons-http-operator":    {"probes/healthz", "probes/readyz"},
		}
		if want, ok := paths[container.Name]; ok {
			got := [2]string{live.HTTPGet.Port.StrVal + live.HTTPGet.Path, ready.HTTPGet.Port.StrVal + ready.HTTPGet.Path}
			if got != want {
				t.Errorf("probes %v, want %v", got, want)
			}
			return
		}
		if live.GRPC == nil || *live.GRPC.Service != "liveness" || ready.GRPC == nil || *ready.GRPC.Service != "readiness" {
			t.Errorf("probes %+v and %+v, want the gRPC health services liveness and readiness", live, ready)
		}
		for _, probe := range []*corev1.Probe{live, ready} {
			if grpc := container.Ports[0]; probe.GRPC.Port != grpc.ContainerPort {
				t.Errorf("probe of port %d, want %d", probe.GRPC.Port, grpc.ContainerPort)
			}
		}
	})
}

// foreign are variables of no binary: those of Go's runtime, and those that the values files add
// for their test.
var foreign = []string{"GOMEMLIMIT", "HTTPS_PROXY"}

// Every variable that the chart sets is one that the binary reads.
func TestEnvironmentIsRead(t *testing.T) {
	binaries := map[string][]environment.Variable{
		"keda-add-ons-http-interceptor":     interceptor.Variables(),
		"keda-add-ons-http-external-scaler": scaler.Variables(),
		"keda-add-ons-http-operator":        operator.Variables(),
	}
	containers(t, func(t *testing.T, _ corev1.PodSpec, container corev1.Container) {
		var known []string
		for _, v := range binaries[container.Name] {
			known = append(known, v.Name)
		}
		seen := map[string]bool{}
		for _, env := range container.Env {
			if seen[env.Name] {
				t.Errorf("%s is set twice", env.Name)
			}
			seen[env.Name] = true
			if !slices.Contains(known, env.Name) && !slices.Contains(foreign, env.Name) {
				t.Errorf("%s is read by nobody", env.Name)
			}
			if env.Value == "" && env.ValueFrom == nil {
				t.Errorf("%s is empty", env.Name)
			}
		}
	})
}

// The binaries accept what the chart sets, flags and environment, and nothing of it is
// deprecated.
func TestSettingsAreAccepted(t *testing.T) {
	type binary struct {
		bind func(*flag.FlagSet)
		load func(environment.Lookup) (warnings []string, err error)
	}
	binaries := map[string]binary{
		"keda-add-ons-http-interceptor": {load: func(lookup environment.Lookup) ([]string, error) {
			c, err := interceptor.Load(lookup)
			return c.Warnings, err
		}},
		"keda-add-ons-http-external-scaler": {load: func(lookup environment.Lookup) ([]string, error) {
			_, err := scaler.Load(lookup)
			return nil, err
		}},
		"keda-add-ons-http-operator": {bind: new(operator.Flags).Bind, load: func(lookup environment.Lookup) ([]string, error) {
			c, err := operator.Load(lookup)
			return c.Warnings, err
		}},
	}
	containers(t, func(t *testing.T, _ corev1.PodSpec, container corev1.Container) {
		binary, ok := binaries[container.Name]
		if !ok {
			t.Fatal("unknown container")
		}
		flags := flag.NewFlagSet(container.Name, flag.ContinueOnError)
		flags.SetOutput(t.Output())
		new(zap.Options).BindFlags(flags)
		if binary.bind != nil {
			binary.bind(flags)
		}
		if err := flags.Parse(container.Args); err != nil || flags.NArg() > 0 {
			t.Errorf("arguments %q: %v", container.Args, err)
		}
		warnings, err := binary.load(func(name string) (string, bool) {
			for _, env := range container.Env {
				if env.Name == name && env.ValueFrom != nil {
					return "from-a-reference", true
				}
				if env.Name == name {
					return env.Value, true
				}
			}
			return "", false
		})
		if err != nil {
			t.Error(err)
		}
		for _, warning := range warnings {
			if strings.Contains(warning, "deprecated") {
				t.Error(warning)
			}
		}
	})
}

// The addresses that the operator receives are the ports that its pod has.
func TestOperatorListensWhereItsPortsAre(t *testing.T) {
	containers(t, func(t *testing.T, _ corev1.PodSpec, container corev1.Container) {
		if container.Name != "keda-add-ons-http-operator" {
			return
		}
		var got operator.Flags
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		new(zap.Options).BindFlags(flags)
		got.Bind(flags)
		if err := flags.Parse(container.Args); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"metrics": got.MetricsAddress, "probes": got.ProbeAddress}
		for _, port := range container.Ports {
			if address := fmt.Sprintf(":%d", port.ContainerPort); want[port.Name] != address {
				t.Errorf("port %s is %s, and the operator listens on %s", port.Name, address, want[port.Name])
			}
		}
		if !got.LeaderElect {
			t.Error("two replicas would both work")
		}
	})
}

// Profiles are for those who may forward a port to the pod.
func TestProfilesAreOnLoopback(t *testing.T) {
	seen := 0
	containers(t, func(t *testing.T, _ corev1.PodSpec, container corev1.Container) {
		for _, env := range container.Env {
			if env.Name == interceptor.EnvProfilingAddress {
				seen++
				if !strings.HasPrefix(env.Value, "127.0.0.1:") {
					t.Errorf("profiles at %q", env.Value)
				}
			}
		}
		for _, arg := range container.Args {
			if address, ok := strings.CutPrefix(arg, "--profiling-bind-address="); ok {
				seen++
				if !strings.HasPrefix(address, "127.0.0.1:") {
					t.Errorf("profiles at %q", address)
				}
			}
		}
	})
	if seen != 3 {
		t.Errorf("profiles of %d containers in all renders, want those of all three with every value set", seen)
	}
}

// The pod outlives the delay and the drain of its binary.
func TestGracePeriod(t *testing.T) {
	each(t, func(t *testing.T, _ release, objects []*unstructured.Unstructured) {
		d := of[appsv1.Deployment](t, objects, "Deployment")["keda-add-ons-http-interceptor"]
		var together int64
		for _, env := range d.Spec.Template.Spec.Containers[0].Env {
			if env.Name == "KEDA_HTTP_SHUTDOWN_DELAY" || env.Name == "KEDA_HTTP_DRAIN_TIMEOUT" {
				together += int64(seconds(t, env.Value))
			}
		}
		if grace := *d.Spec.Template.Spec.TerminationGracePeriodSeconds; together == 0 || grace <= together {
			t.Errorf("%d s of grace for %d s of delay and drain", grace, together)
		}
	})
}

//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
	"github.com/kedacore/http-add-on/tests/support/objects"
	"github.com/kedacore/http-add-on/tests/support/rollback"
)

// Scenario i: helm upgrade of a release of 0.16 with its definitions and the values file that it had.
// It has an HTTPScaledObject that its operator looked after, and an InterceptorRoute. Then helm rollback, and
// upgrade again.

func TestUpgradeFrom016(t *testing.T) {
	s := begin(t, "i-upgrade")
	const host, chatHost = "i.example.com", "chat.i.example.com"
	const values = "tests/charts/testdata/values/snake-case-tls.yaml"
	const identity, template = ".metadata.uid", ".spec.template"
	release := func(args ...string) {
		t.Helper()
		_, err := s.Helm(s.ctx, args...)
		s.must(err)
	}
	chart := s.Chart()
	t.Cleanup(func() { // put back
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		if _, err := s.Helm(ctx, "upgrade", "--install", "--reset-values", cluster.Release, chart); err != nil {
			t.Error(err)
		}
		if err := s.AwaitInstalled(ctx); err != nil {
			t.Error(err)
		}
	})

	// First the processes, which would go on without their roles.
	_, err := s.Kubectl(s.ctx, "", "delete", "deployments", "--namespace="+cluster.Namespace,
		"--selector=app.kubernetes.io/part-of=keda-add-ons-http", "--cascade=foreground", "--timeout=2m")
	s.must(err)
	release("uninstall", cluster.Release)
	release("install", cluster.Release, s.release016(), "--set-string=replicas=0")
	s.apply(model("llm", 0), model("chat", 0), scaledObject("chat"), interceptorRoute("chat", chatHost, concurrencyTen))
	s.leftBehind("llm", host)
	s.freeFinalizer("gone")
	old, templates, specs := s.deployments(identity), s.deployments(template), s.specs("httpso/llm", "interceptorroute/chat")
	s.edgeCertificate()

	release("upgrade", cluster.Release, chart, "--values", s.path(values))
	s.must(s.AwaitInstalled(s.ctx))
	if upgraded := s.deployments(identity); upgraded != old {
		t.Errorf("other Deployments: %s, before %s", upgraded, old)
	}
	s.awaitReady("HTTPScaledObject/llm", "ScaledObject/llm", "InterceptorRoute/chat", "ScaledObject/chat")
	for _, host := range []string{host, chatHost} {
		if got := s.send(call{url: "http://" + host + "/v1/models"}); got.err != nil || got.status != http.StatusOK || got.header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
			t.Errorf("a request to %s, whose target sleeps: %+v", host, got)
		}
	}
	s.checkTLS()
	complete := s.complete("complete.i.example.com")
	for _, o := range complete {
		if lost := s.lost(o); len(lost) > 0 {
			t.Errorf("%s: the upgraded definition drops %v", o.GetKind(), lost)
		}
	}

	release("rollback", cluster.Release, "1", "--timeout=2m")
	if back := s.deployments(identity); back != old {
		t.Errorf("other Deployments after a rollback: %s, before %s", back, old)
	}
	if back := s.deployments(template); back != templates {
		t.Errorf("the pods after a rollback: %s, before %s", back, templates)
	}
	s.kubectl("get", "scaledobject/llm", "scaledobject/chat")
	for _, o := range complete { // the rollback brought the definitions of 0.16 back
		s.eventually(o.GetKind()+" to lose what 0.16 does not know", func() (bool, error) {
			s.kubectl("label", o.GetKind(), o.GetName(), "written="+rand.Text(), "--overwrite")
			lost := s.lost(o)
			return slices.Equal(lost, rollback.Pruned(o.GetKind())), fmt.Errorf("it lost %v", lost)
		})
	}
	s.kubectl("label", "httpso/llm", "interceptorroute/chat", "written=by-0.16")
	if back := s.specs("httpso/llm", "interceptorroute/chat"); back != specs {
		t.Errorf("the objects of 0.16 after a rollback: %s, before %s", back, specs)
	}

	release("upgrade", cluster.Release, chart, "--values", s.path(values))
	s.must(s.AwaitInstalled(s.ctx))
	s.awaitReady("HTTPScaledObject/llm", "ScaledObject/llm", "InterceptorRoute/chat", "ScaledObject/chat")
	for name, host := range map[string]string{"llm": host, "chat": chatHost} {
		s.awaitReplicas(name, 0)
		if got := s.send(call{url: "http://" + host + "/v1/models"}); got.err != nil || got.status != http.StatusOK {
			t.Errorf("a request to %s after a rollback and another upgrade: %+v", host, got)
		}
	}
	for _, o := range complete {
		s.kubectl("label", o.GetKind(), o.GetName(), "written=again", "--overwrite") // it must be valid
		if lost := s.lost(o); !slices.Equal(lost, rollback.Pruned(o.GetKind())) {
			t.Errorf("%s after another upgrade: it lost %v", o.GetKind(), lost)
		}
	}
	if again := s.specs("httpso/llm", "interceptorroute/chat"); again != specs {
		t.Errorf("the objects of 0.16 after another upgrade: %s, before %s", again, specs)
	}
	s.kubectl("delete", "httpso", "llm", "--timeout=60s") // nothing holds it
	s.kubectl("wait", "--for=delete", "scaledobject/llm", "--timeout=60s")
}

// path is that of a file of the repository.
func (s *scenario) path(file string) string { return filepath.Join("..", "..", file) }

// deployments are those of the add-on, each with a field of its own.
func (s *scenario) deployments(field string) string {
	s.Helper()
	text, err := s.Kubectl(s.ctx, "", "get", "deployments", "--namespace="+cluster.Namespace, "--selector=app.kubernetes.io/part-of!=keda-operator",
		"--output=jsonpath={range .items[*]}{.metadata.name}={"+field+"} {end}")
	s.must(err)
	return text
}

// release016 is a chart of 0.16 with its definitions, and with our roles. Those of our pods that a rollback has
// not ended yet go on under them, and the audit log must have no refused request.
func (s *scenario) release016() string {
	s.Helper()
	folder := s.TempDir()
	s.must(os.CopyFS(folder, os.DirFS(s.path("tests/charts/testdata/release-0.16"))))
	definitions, err := rollback.Definitions()
	s.must(err)
	roles, err := s.Helm(s.ctx, "template", cluster.Release, s.Chart(), "--show-only=templates/*/rbac.yaml")
	s.must(err)
	s.must(os.Remove(filepath.Join(folder, "templates", "rbac.yaml")))
	all := []string{roles}
	for _, definition := range definitions {
		text, err := yaml.Marshal(definition)
		s.must(err)
		all = append(all, string(text))
	}
	s.must(os.WriteFile(filepath.Join(folder, "more.yaml"), []byte(strings.Join(all, "---\n")), 0o600))
	// Helm would take descriptions with braces for templates.
	s.must(os.WriteFile(filepath.Join(folder, "templates", "more.yaml"), []byte(`{{ .Files.Get "more.yaml" }}`), 0o600))
	return folder
}

// specs are the specifications of objects.
func (s *scenario) specs(names ...string) string {
	s.Helper()
	return s.kubectl(append([]string{"get", "--output=jsonpath={.items[*].spec}"}, names...)...)
}

// complete are objects of both kinds with every field, for a host.
func (s *scenario) complete(host string) []*unstructured.Unstructured {
	s.Helper()
	route, err := objects.CompleteInterceptorRoute()
	s.must(err)
	rules, _, err := unstructured.NestedSlice(route.Object, "spec", "rules")
	s.must(err)
	first, _ := rules[0].(map[string]any)
	first["hosts"] = []any{host}
	rules[1] = map[string]any{"hosts": []any{"more." + host}} // instead of all hosts
	s.must(unstructured.SetNestedSlice(route.Object, rules, "spec", "rules"))
	object, err := objects.CompleteHTTPScaledObject()
	s.must(err)
	s.must(unstructured.SetNestedStringSlice(object.Object, []string{"old." + host}, "spec", "hosts"))
	object.SetFinalizers(nil)
	all := []*unstructured.Unstructured{route, object}
	for _, o := range all {
		text, err := yaml.Marshal(o)
		s.must(err)
		s.apply(string(text))
	}
	return all
}

// lost are the fields that a stored object lacks.
func (s *scenario) lost(applied *unstructured.Unstructured) []string {
	s.Helper()
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(applied.GroupVersionKind())
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: applied.GetName()}, stored))
	return rollback.Lost(applied, stored)
}

// freeFinalizer deletes an object with the finalizer of 0.16 while no operator runs, by the command
// of docs/install.md.
func (s *scenario) freeFinalizer(name string) {
	s.Helper()
	s.apply(withFinalizer(name, name+".i.example.com"))
	s.kubectl("delete", "httpso", name, "--wait=false")
	if s.kubectl("get", "httpso", name, "--output=jsonpath={.metadata.deletionTimestamp}") == "" {
		s.Error("the object is not being deleted")
	}
	page, err := os.ReadFile(s.path("docs/install.md"))
	s.must(err)
	line := regexp.MustCompile(`(?m)^kubectl .*"finalizers": null.*$`).FindString(string(page))
	if line == "" {
		s.Fatal("docs/install.md has no command that removes finalizers")
	}
	s.must(s.shell(s.ctx, strings.NewReplacer("NAMESPACE", s.Namespace, "NAME", name).Replace(line)))
	s.kubectl("wait", "--for=delete", "httpso/"+name, "--timeout=10s")
}

// shell runs a command line with kubectl and helm, as the administrator.
func (s *scenario) shell(ctx context.Context, line string) error {
	command := exec.CommandContext(ctx, "bash", "-c", line)
	command.Env = append(os.Environ(), "PATH="+s.Path()+":"+os.Getenv("PATH"), "KUBECONFIG="+s.Kubeconfig, "HELM_CACHE_HOME="+filepath.Join(s.Folder, "helm"))
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running %q: %w: %s", line, err, out)
	}
	return nil
}

// withFinalizer is an HTTPScaledObject as the operator of 0.16 left it.
func withFinalizer(name, host string) string {
	return strings.Replace(oldRoute(name, host, "scaledownPeriod: 1"), "metadata: {name: "+name+"}",
		fmt.Sprintf("metadata: {name: %s, finalizers: [%s]}", name, api.Finalizer), 1)
}

// leftBehind is an HTTPScaledObject and its ScaledObject as the operator of 0.16 left
// them.
func (s *scenario) leftBehind(name, host string) {
	s.Helper()
	s.apply(withFinalizer(name, host))
	owner := &v1alpha1.HTTPScaledObject{}
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, owner))
	_, err := s.Kubectl(s.ctx, fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: %[1]s
  ownerReferences:
    - {apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, name: %[1]s, uid: %[2]s, controller: true, blockOwnerDeletion: true}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %[1]s}
  pollingInterval: 15
  minReplicaCount: 0
  maxReplicaCount: 3
  cooldownPeriod: 1
  advanced: {restoreToOriginalReplicaCount: true}
  triggers:
    - type: external-push
      metadata: {scalerAddress: "keda-add-ons-http-external-scaler.keda:9090", httpScaledObject: %[1]s}
`, name, owner.UID), "create", "--namespace="+s.Namespace, "--field-manager=operator", "--filename=-")
	s.must(err)
}

// edgeCertificate is the Secret that the values name: with KEDA's certificate, of an
// authority that checkTLS reads.
func (s *scenario) edgeCertificate() {
	s.Helper()
	var keda corev1.Secret
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: "kedaorg-certs"}, &keda))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: "edge-certs"},
		Data:       map[string][]byte{"server.pem": keda.Data["tls.crt"], "server-key.pem": keda.Data["tls.key"], "ca.crt": keda.Data["ca.crt"]},
	}
	s.must(client.IgnoreAlreadyExists(s.Client.Create(s.ctx, secret)))
	s.Cleanup(func() { s.try(client.IgnoreNotFound(s.Client.Delete(context.WithoutCancel(s.ctx), secret))) })
}

// checkTLS asks the TLS port for a host without a route.
func (s *scenario) checkTLS() {
	s.Helper()
	var secret corev1.Secret
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: "edge-certs"}, &secret))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data["ca.crt"])
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(cluster.Proxy)
			return s.Dial(ctx, network, net.JoinHostPort(host, "8443"))
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "keda-operator", MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	if got := s.send(call{by: &http.Client{Transport: transport}, url: "https://nobody.i.example.com/"}); got.err != nil || got.status != http.StatusNotFound {
		s.Errorf("a request over TLS for a host without a route: %+v", got)
	}
}

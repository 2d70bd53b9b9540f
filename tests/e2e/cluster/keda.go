//go:build e2e

package cluster

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kedacore/http-add-on/tests/support/objects"
)

// installKEDA applies the manifests of KEDA's module, with some changes. There are no admission
// webhooks. We make the certificates, because the operator would make them and wait for them.
// There is no leader election, which would wait for the lease of a killed operator. Probes run
// from the start.
func (c *Cluster) installKEDA(ctx context.Context) error {
	text, err := c.Kubectl(ctx, "", "kustomize", filepath.Join(c.tools.KEDAModule, "config/default"))
	if err != nil {
		return err
	}
	manifests, err := objects.Decode([]byte(text))
	if err != nil {
		return fmt.Errorf("reading KEDA's manifests: %w", err)
	}
	manifests = slices.DeleteFunc(manifests, func(o *unstructured.Unstructured) bool {
		return strings.HasPrefix(o.GetName(), "keda-admission")
	})
	for _, object := range manifests {
		switch object.GetKind() {
		case "APIService":
			err = unstructured.SetNestedField(object.Object, encoded(c.authority.PEM()), "spec", "caBundle")
		case "Deployment":
			err = adaptDeployment(object)
		}
		if err != nil {
			return fmt.Errorf("changing KEDA's %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	secret, err := c.kedaCertificates()
	if err != nil {
		return err
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": manifests})
	if err != nil {
		return fmt.Errorf("writing KEDA's manifests: %w", err)
	}
	if _, err := c.Kubectl(ctx, string(list), "apply", "--server-side", "--filename=-"); err != nil {
		return err
	}
	if c.Client, err = newClient(c.Config); err != nil {
		return err
	}
	if err := c.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("creating KEDA's certificates: %w", err)
	}
	_, err = c.Kubectl(ctx, "", "wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s")
	return err
}

// adaptDeployment makes a Deployment of KEDA start at once.
func adaptDeployment(object *unstructured.Unstructured) error {
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
		return err
	}
	container := &deployment.Spec.Template.Spec.Containers[0]
	container.Args = slices.DeleteFunc(container.Args, func(arg string) bool {
		return arg == "--leader-elect" || strings.HasPrefix(arg, "--enable-cert-rotation")
	})
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe} {
		probe.InitialDelaySeconds, probe.PeriodSeconds = 0, 1
	}
	container.LivenessProbe.FailureThreshold = 60
	var err error
	object.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(&deployment)
	if err != nil {
		return err
	}
	object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return nil
}

// kedaCertificates is what KEDA's parts identify themselves to each other with.
func (c *Cluster) kedaCertificates() (*corev1.Secret, error) {
	var hosts []string
	for _, service := range []string{"keda-operator", "keda-metrics-apiserver"} {
		name := service + "." + Namespace
		hosts = append(hosts, service, name, name+".svc", name+".svc.cluster.local")
	}
	certificate, key, err := c.authority.Issue(pkix.Name{CommonName: "keda"}, hosts...)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "kedaorg-certs"},
		Data:       map[string][]byte{"ca.crt": c.authority.PEM(), "tls.crt": certificate, "tls.key": key},
	}, nil
}

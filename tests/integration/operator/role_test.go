package operator_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// account is who a ServiceAccount's token says it is.
func account(namespace, name string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
}

// chartRole returns what the chart lets the operator do: all specs run with it.
func chartRole(g Gomega) (role []*unstructured.Unstructured) {
	root, err := controlplane.Root()
	g.Expect(err).NotTo(HaveOccurred())
	content, err := os.ReadFile(filepath.Join(root, "config/operator/rbac.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal(document, object)).To(Succeed())
		role = append(role, object)
	}
	return role
}

func grant(ctx context.Context, role ...*unstructured.Unstructured) {
	GinkgoHelper()
	Expect(api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "keda"}})).To(Succeed())
	for _, object := range role {
		Expect(api.Create(ctx, object)).To(Succeed())
	}
}

var _ = Describe("A role of 0.16", func() {
	It("is enough to run, without a word about Services, ConfigMaps and pods", func(ctx SpecContext) {
		ns := namespace(ctx)
		rules := []rbacv1.PolicyRule{
			{APIGroups: []string{"http.keda.sh"}, Resources: []string{"*"}, Verbs: []string{"*"}},
			{APIGroups: []string{"keda.sh"}, Resources: []string{"scaledobjects"}, Verbs: []string{"*"}},
		}
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: ns}, Rules: rules}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: ns},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ns},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: "old"}},
		}
		for _, object := range []client.Object{role, binding} {
			Expect(api.Create(ctx, object)).To(Succeed())
		}
		cfg, log := chartSettings(), &capture.Log{}
		cfg.Flags.LeaderElect, cfg.WatchNamespace = false, ns
		run(cfg, log, account(ns, "old"))
		Eventually(func() int { return log.Count("Starting workers") }, patience).Should(Equal(3))
		Expect(log.Count("kind is not available", `"kind"="Service"`)).To(Equal(1))
		Expect(log.Count("kind is not available", `"kind"="ConfigMap"`)).To(Equal(1))
		Expect(log.Count("kind is not available", `"kind"="Pod"`)).To(Equal(1))
		Expect(log.Count("kind is not available", `"kind"="ScaledObject"`)).To(BeZero())
		create(ctx, service(ns, "shop"), objects.HTTPScaledObject(ns, "shop", ns+".test"))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))
})

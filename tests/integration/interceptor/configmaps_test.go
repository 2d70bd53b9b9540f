package interceptor_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	names "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/route"
)

// seen takes the ConfigMaps that a source reports, as "namespace/name".
type seen struct {
	configMaps chan string
	synced     chan struct{}
}

func (s seen) Set(o kubesource.Object) {
	if _, ok := o.(*corev1.ConfigMap); ok {
		s.configMaps <- o.GetNamespace() + "/" + o.GetName()
	}
}
func (s seen) Delete(kubesource.Object)     {}
func (s seen) Wake(kubesource.Object, bool) {}
func (s seen) Synced()                      { close(s.synced) }

var _ = Describe("The right to read ConfigMaps", func() {
	It("is needed in the namespaces that are named, and nowhere without them", func(ctx SpecContext) {
		api, err := client.New(cluster.Config, client.Options{Scheme: clientgoscheme.Scheme})
		Expect(err).NotTo(HaveOccurred())
		const user, read, unread = "limited", "read", "unread"
		list := []string{"list", "watch"}
		everywhere := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: list},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: list},
			{APIGroups: []string{"http.keda.sh"}, Resources: []string{"httpscaledobjects", "interceptorroutes"}, Verbs: list},
		}}
		configMaps := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user + "-configmaps"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: list},
		}}
		ref := func(role *rbacv1.ClusterRole) rbacv1.RoleRef {
			return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
		}
		subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}
		labels := map[string]string{names.LabelResponseBody: names.True}
		for _, object := range []client.Object{
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: read}},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: unread}},
			everywhere, configMaps,
			&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: ref(everywhere), Subjects: subjects},
			&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: read}, RoleRef: ref(configMaps), Subjects: subjects},
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "site", Namespace: read, Labels: labels}},
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "site", Namespace: unread, Labels: labels}},
		} {
			Expect(api.Create(ctx, object)).To(Succeed())
		}
		as := rest.CopyConfig(cluster.Config)
		as.Impersonate = rest.ImpersonationConfig{UserName: user}
		for _, allowed := range []route.ConfigMaps{{Namespaces: []string{read}}, {Off: true}} {
			source, err := routesync.NewClusterSource(as, routesync.ClusterOptions{ConfigMaps: allowed, Store: endpoints.NewStore()})
			Expect(err).NotTo(HaveOccurred())
			running, stop := context.WithCancel(ctx)
			sink, done := seen{make(chan string, 10), make(chan struct{})}, make(chan error, 1)
			go func() { done <- source.Run(running, sink) }()
			Eventually(sink.synced, time.Minute).Should(BeClosed())
			stop()
			Expect(<-done).To(Succeed())
			close(sink.configMaps)
			var got []string
			for name := range sink.configMaps {
				got = append(got, name)
			}
			if allowed.Off {
				Expect(got).To(BeEmpty())
			} else {
				Expect(got).To(Equal([]string{read + "/site"}))
			}
		}
	}, NodeTimeout(5*time.Minute))
})

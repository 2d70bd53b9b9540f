package operator_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

var _ = Describe("The process", func() {
	It("serves probes and profiles, and metrics to whom the API server allows them", func(ctx SpecContext) {
		ns := namespace(ctx)
		reader := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "prometheus"}}
		role := &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: ns},
			Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
		}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: ns},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ns},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: reader.Name}},
		}
		for _, object := range []client.Object{reader, role, binding} {
			Expect(api.Create(ctx, object)).To(Succeed())
		}
		token := &authenticationv1.TokenRequest{}
		Expect(api.SubResource("token").Create(ctx, reader, token)).To(Succeed())

		cfg := chartSettings()
		cfg.WatchNamespace = ns
		cfg.Flags.LeaderElect = false
		cfg.Flags.ProbeAddress, cfg.Flags.ProfilingAddress, cfg.Flags.MetricsAddress = listen.Refusing(GinkgoTB()), listen.Refusing(GinkgoTB()), listen.Refusing(GinkgoTB())
		cfg.Flags.MetricsSecure, cfg.Flags.MetricsAuth = true, true
		run(cfg, &capture.Log{}, account("keda", "keda-add-ons-http"))

		for _, url := range []string{
			"http://" + cfg.Flags.ProbeAddress + "/healthz",
			"http://" + cfg.Flags.ProbeAddress + "/readyz",
			"http://" + cfg.Flags.ProfilingAddress + "/debug/pprof/cmdline",
		} {
			Eventually(answer(url, ""), patience).Should(HavePrefix("200 "), url)
		}
		metrics := "https://" + cfg.Flags.MetricsAddress + "/metrics"
		Eventually(answer(metrics, ""), patience).Should(HavePrefix("401 "))
		Eventually(answer(metrics, token.Status.Token), patience).Should(And(
			HavePrefix("200 "), ContainSubstring(`controller_runtime_reconcile_total{controller="interceptorroute"`)))
	}, NodeTimeout(5*time.Minute))
})

// answer returns "status body" of a GET; the certificate is one made up.
func answer(url, token string) func(Gomega) string {
	return func(g Gomega) string {
		request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
		g.Expect(err).NotTo(HaveOccurred())
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		return response.Status + "\n" + string(body)
	}
}

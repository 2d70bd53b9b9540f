package crd_test

import (
	"crypto/rand"
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/config/crd"
	"github.com/kedacore/http-add-on/tests/support/objects"
	"github.com/kedacore/http-add-on/tests/support/rollback"
)

var _ = Describe("a rollback to the definitions of 0.16", Ordered, func() {
	var complete []*unstructured.Unstructured

	BeforeAll(func(ctx SpecContext) {
		route, err := objects.CompleteInterceptorRoute()
		Expect(err).NotTo(HaveOccurred())
		object, err := objects.CompleteHTTPScaledObject()
		Expect(err).NotTo(HaveOccurred())
		object.SetFinalizers(nil)
		for _, o := range []*unstructured.Unstructured{route, object} {
			text, err := json.Marshal(o) // numbers as they come back
			Expect(err).NotTo(HaveOccurred())
			o = &unstructured.Unstructured{}
			Expect(json.Unmarshal(text, &o.Object)).To(Succeed())
			complete = append(complete, o)
		}
		for _, name := range []string{"read", "written"} {
			for _, o := range complete {
				o.SetName("rollback-" + name)
				text, err := json.Marshal(o)
				Expect(err).NotTo(HaveOccurred())
				_, err = cluster.Kubectl(ctx, string(text), "create", "-f", "-")
				Expect(err).NotTo(HaveOccurred())
				_, err = cluster.Kubectl(ctx, "", "patch", o.GetKind(), o.GetName(), "--subresource=status", "--type=merge",
					`--patch={"status":{`+wakeJSON+`,"conditions":[`+readyJSON+`]}}`)
				Expect(err).NotTo(HaveOccurred())
			}
		}
		install(ctx, rollback.Definitions)
		DeferCleanup(func(ctx SpecContext) {
			install(ctx, crd.Definitions)
			for _, o := range complete {
				_, err := cluster.Kubectl(ctx, "", "delete", o.GetKind(), "rollback-read", "rollback-written")
				Expect(err).NotTo(HaveOccurred())
			}
		})
	})

	lost := func(ctx SpecContext, o *unstructured.Unstructured, name string) []string {
		text, err := cluster.Kubectl(ctx, "", "get", o.GetKind(), name, "-o", "json")
		Expect(err).NotTo(HaveOccurred())
		var stored unstructured.Unstructured
		Expect(json.Unmarshal([]byte(text), &stored.Object)).To(Succeed())
		return rollback.Lost(o, &stored)
	}

	It("drops the fields that 0.16 does not know, and no others", func(ctx SpecContext) {
		for _, o := range complete {
			Eventually(func(ctx SpecContext) []string {
				_, err := cluster.Kubectl(ctx, "", "label", o.GetKind(), "rollback-written", "by="+rand.Text(), "--overwrite")
				Expect(err).NotTo(HaveOccurred())
				return lost(ctx, o, "rollback-written")
			}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(rollback.Pruned(o.GetKind())), o.GetKind())
			wake, err := cluster.Kubectl(ctx, "", "get", o.GetKind(), "rollback-written", "-o", "jsonpath={.status.wake}{.status.conditions[*].type}")
			Expect(err).NotTo(HaveOccurred())
			Expect(wake).To(Equal("Ready"))
		}
	})

	It("accepts the objects of 0.16", func(ctx SpecContext) {
		for _, text := range []string{objects.OldInterceptorRoute, objects.OldHTTPScaledObject} {
			_, err := cluster.Kubectl(ctx, text, "apply", "--dry-run=server", "--validate=strict", "-f", "-")
			Expect(err).NotTo(HaveOccurred())
		}
	})

	It("loses nothing of what was not written meanwhile", func(ctx SpecContext) {
		install(ctx, crd.Definitions)
		for _, o := range complete {
			Eventually(lost).WithArguments(o, "rollback-read").WithContext(ctx).WithTimeout(time.Minute).Should(BeEmpty())
			Expect(lost(ctx, o, "rollback-written")).To(Equal(rollback.Pruned(o.GetKind())))
			_, err := cluster.Kubectl(ctx, "", "label", o.GetKind(), "rollback-read", "rollback-written", "by=now", "--overwrite")
			Expect(err).NotTo(HaveOccurred(), "the objects must be valid again")
		}
	})
})

// install replaces the definitions.
func install(ctx SpecContext, all func() ([]*apiextensionsv1.CustomResourceDefinition, error)) {
	GinkgoHelper()
	definitions, err := all()
	Expect(err).NotTo(HaveOccurred())
	for _, definition := range definitions {
		text, err := yaml.Marshal(definition)
		Expect(err).NotTo(HaveOccurred())
		_, err = cluster.Kubectl(ctx, string(text), "apply", "--server-side", "--force-conflicts", "-f", "-")
		Expect(err).NotTo(HaveOccurred())
	}
}

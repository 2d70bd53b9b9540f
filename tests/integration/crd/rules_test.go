package crd_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/tests/support/objects"
)

// The same rules run against standalone/schema. They are applied one by one, as
// a user does, so that each message is seen alone.
var _ = Describe("the rules of the API", func() {
	rules, err := objects.Rules()
	It("are readable", func() { Expect(err).NotTo(HaveOccurred()) })

	for i, rule := range rules {
		It(fmt.Sprintf("refuse %s %s: %s", rule.Invalid.GetKind(), rule.Field, rule.Reason), func(ctx SpecContext) {
			rule.Valid.SetName(fmt.Sprintf("valid-%d", i))
			_, err := cluster.Kubectl(ctx, manifest(rule.Valid), "apply", "-f", "-")
			Expect(err).NotTo(HaveOccurred())

			rule.Invalid.SetName(fmt.Sprintf("invalid-%d", i))
			_, err = cluster.Kubectl(ctx, manifest(rule.Invalid), "apply", "-f", "-")
			Expect(err).To(MatchError(And(
				ContainSubstring(rule.Field),
				ContainSubstring(rule.Message),
				Not(ContainSubstring("conversion error")),
			)))
		})
	}
})

func manifest(object *unstructured.Unstructured) string {
	GinkgoHelper()
	text, err := yaml.Marshal(object.Object)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

package crd_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/config/crd"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// The fields that 0.16's definitions drop, as docs/migrate.md says.
var pruned = map[string][]string{
	"InterceptorRoute": {
		"spec.coldStart.activationLease", "spec.coldStart.failAfter", "spec.coldStart.onFailure", "spec.coldStart.releaseConcurrency",
		"spec.coldStart.streamingCallback", "spec.coldStart.waitingPage", "spec.coldStart.wakes", "spec.coldStart.warmUp",
		"spec.rules[].clientCIDRs", "spec.rules[].headers[].type", "spec.rules[].headers[].values", "spec.rules[].methods", "spec.rules[].userAgents",
		"spec.sessionPersistence",
		"spec.staticRoutes[].name", "spec.staticRoutes[].rules[].clientCIDRs", "spec.staticRoutes[].rules[].headers[].type",
		"spec.staticRoutes[].rules[].headers[].values", "spec.staticRoutes[].rules[].methods", "spec.staticRoutes[].rules[].userAgents",
	},
	"HTTPScaledObject": {"spec.coldStartMessage", "spec.coldStartStreamingCallback"},
}

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
		install(ctx, older)
		DeferCleanup(func(ctx SpecContext) {
			install(ctx, func(*apiextensionsv1.CustomResourceDefinition) {})
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
		all := missing(o.Object["spec"], stored.Object["spec"], "spec")
		slices.Sort(all)
		return slices.Compact(all)
	}

	It("drops the fields that 0.16 does not know, and no others", func(ctx SpecContext) {
		for _, o := range complete {
			Eventually(func(ctx SpecContext) []string {
				_, err := cluster.Kubectl(ctx, "", "label", o.GetKind(), "rollback-written", "by="+rand.Text(), "--overwrite")
				Expect(err).NotTo(HaveOccurred())
				return lost(ctx, o, "rollback-written")
			}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(pruned[o.GetKind()]), o.GetKind())
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
		install(ctx, func(*apiextensionsv1.CustomResourceDefinition) {})
		for _, o := range complete {
			Eventually(lost).WithArguments(o, "rollback-read").WithContext(ctx).WithTimeout(time.Minute).Should(BeEmpty())
			Expect(lost(ctx, o, "rollback-written")).To(Equal(pruned[o.GetKind()]))
			_, err := cluster.Kubectl(ctx, "", "label", o.GetKind(), "rollback-read", "rollback-written", "by=now", "--overwrite")
			Expect(err).NotTo(HaveOccurred(), "the objects must be valid again")
		}
	})
})

// install replaces the definitions.
func install(ctx SpecContext, change func(*apiextensionsv1.CustomResourceDefinition)) {
	GinkgoHelper()
	definitions, err := crd.Definitions()
	Expect(err).NotTo(HaveOccurred())
	for _, definition := range definitions {
		change(definition)
		text, err := yaml.Marshal(definition)
		Expect(err).NotTo(HaveOccurred())
		_, err = cluster.Kubectl(ctx, string(text), "apply", "--server-side", "--force-conflicts", "-f", "-")
		Expect(err).NotTo(HaveOccurred())
	}
}

// older makes a definition one of 0.16, as far as fields go: it has those that the old objects
// use. Rules are left out, which may be about other fields.
func older(definition *apiextensionsv1.CustomResourceDefinition) {
	var old unstructured.Unstructured
	text := objects.OldInterceptorRoute
	if definition.Spec.Names.Kind == "HTTPScaledObject" {
		text = objects.OldHTTPScaledObject
	}
	Expect(yaml.Unmarshal([]byte(text), &old.Object)).To(Succeed())
	// The rules of static routes are like those of the route.
	spec, _ := old.Object["spec"].(map[string]any)
	routes, _ := spec["staticRoutes"].([]any)
	for _, route := range routes {
		route.(map[string]any)["rules"] = spec["rules"]
	}
	version := &definition.Spec.Versions[0]
	version.AdditionalPrinterColumns = nil
	schema := version.Schema.OpenAPIV3Schema
	schema.Properties["spec"] = prune(schema.Properties["spec"], spec)
	status := schema.Properties["status"]
	delete(status.Properties, "wake")
}

// prune returns a schema that has the fields of a value.
func prune(s apiextensionsv1.JSONSchemaProps, value any) apiextensionsv1.JSONSchemaProps {
	s.XValidations = nil
	switch value := value.(type) {
	case map[string]any:
		for name, field := range s.Properties {
			part, found := value[name]
			switch {
			case found:
				s.Properties[name] = prune(field, part)
			case name == "port" && value["portName"] != nil, name == "portName" && value["port"] != nil:
			case strings.HasPrefix(name, "body") && value["body"] != nil, name == "body" && value["bodyFromConfigMap"] != nil:
			case (name == "statusCode" || name == "headers") && value["bodyFromConfigMap"] != nil:
			default:
				delete(s.Properties, name)
			}
		}
	case []any:
		all := map[string]any{}
		for _, item := range value {
			merge(all, item)
		}
		if s.Items != nil && s.Items.Schema.Type == "object" {
			items := prune(*s.Items.Schema, all)
			s.Items.Schema = &items
		}
	}
	return s
}

// merge adds the fields of an item of a list to those of the others.
func merge(all map[string]any, item any) {
	fields, _ := item.(map[string]any)
	for name, value := range fields {
		switch before := all[name].(type) {
		case []any:
			more, _ := value.([]any)
			all[name] = append(slices.Clone(before), more...)
		case map[string]any:
			merge(before, value)
		default:
			all[name] = value
		}
	}
}

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario k: our components were refused nothing, and their roles hold nothing that no
// scenario used.

// compareRoles asks for the comparison after some scenarios: others may have run on this cluster before.
var compareRoles = flag.Bool("roles", false, "compare the roles with the audit log even if only some scenarios run")

// unused are the permissions that no scenario can use, and are needed elsewhere.
func unused(permission string, used map[string]int) bool {
	switch permission {
	case "operator: update http.keda.sh/httpscaledobjects/finalizers":
		// For the owner reference of a ScaledObject where the admission plugin
		// OwnerReferencesPermissionEnforcement is on.
		return true
	default:
		// An API server that cannot send a list as a watch is asked for the list.
		return strings.Contains(permission, ": list ") && used[strings.Replace(permission, ": list ", ": watch ", 1)] > 0
	}
}

// What the operator does for conditions only.
func TestConditionsFollowTheFacts(t *testing.T) {
	s := together(t, "k-conditions")
	const service = `
apiVersion: v1
kind: Service
metadata: {name: llm}
spec:
  ports: [{name: http, port: 80}]
`
	s.apply(service, model("llm", 0), scaledObject("llm"), interceptorRoute("llm", "k.example.com",
		`scalingMetric: {concurrency: {targetValue: 100}}`,
		`coldStart: {waitingPage: {bodyFromConfigMap: {name: page, key: index.html}}}`))
	s.awaitReason("InterceptorRoute/llm", "ConfigMapNotFound")
	s.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: page, labels: {http.keda.sh/response-body: "true"}}
data: {index.html: "<p>{{.Elapsed"}
`)
	s.awaitReason("InterceptorRoute/llm", "InvalidTemplate")
	s.kubectl("patch", "configmap", "page", "--patch", `{"data": {"index.html": "<p>Wait."}}`)
	s.awaitReason("InterceptorRoute/llm", "Reconciled")
	s.kubectl("delete", "service", "llm")
	s.awaitReason("InterceptorRoute/llm", "ServiceNotFound")
	s.apply(service)
	s.awaitReason("InterceptorRoute/llm", "Reconciled")
}

// awaitReason waits until the condition Ready of an object has a reason.
func (s *scenario) awaitReason(object, reason string) {
	s.Helper()
	s.eventually(object+" to be "+reason, func() (bool, error) {
		conditions, err := s.conditions(object)
		if err != nil {
			return false, err
		}
		text := fmt.Sprint(conditions)
		return strings.Contains(text, "reason:"+reason+" "), errors.New(text)
	})
}

// checkRoles compares the requests of all scenarios with the granted rights, and returns an exit
// code.
func checkRoles(ctx context.Context, c *cluster.Cluster) int {
	if _, err := os.Stat(c.AuditLog()); err != nil {
		c.Progress("roles: not compared: the API server of this cluster writes no audit log for us")
		return 0
	}
	used, refused, err := asked(c)
	if err != nil {
		c.Progress("%v", err)
		return 1
	}
	granted, err := granted(ctx, c)
	if err != nil {
		c.Progress("%v", err)
		return 1
	}
	code := 0
	for _, request := range slices.Sorted(maps.Keys(refused)) {
		c.Progress("roles: refused: %s", request)
		code = 1
	}
	calls := 0
	for _, permission := range slices.Sorted(maps.Keys(granted)) {
		if used[permission] > 0 {
			calls++
		} else if !unused(permission, used) {
			c.Progress("roles: nobody used %s", permission)
			code = 1
		}
	}
	c.Progress("roles: %d of %d permissions were used, %d requests refused", calls, len(granted), len(refused))
	return code
}

// permission is what a component may do, or did.
func permission(account, verb, group, resource string) string {
	component := strings.TrimPrefix(account, "keda-add-ons-http-")
	if component == account {
		component = "operator"
	}
	return fmt.Sprintf("%s: %s %s/%s", component, verb, group, resource)
}

// asked reads the audit log. An API server that starts refuses everything until it knows the roles, so
// a request that was allowed before or after that was not refused.
func asked(c *cluster.Cluster) (used, refused map[string]int, err error) {
	log, err := os.Open(c.AuditLog())
	if err != nil {
		return nil, nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = log.Close() }()
	used, refused = map[string]int{}, map[string]int{}
	allowed, refusals := map[string]bool{}, map[string]string{} // by what was asked for
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ObjectRef        struct{ Namespace, Resource, Subresource, APIGroup string }
			ResponseStatus   struct{ Code int }
			Annotations      map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, nil, fmt.Errorf("reading the audit log: %w", err)
		}
		account := event.User.Username[strings.LastIndexByte(event.User.Username, ':')+1:]
		path, _, _ := strings.Cut(event.RequestURI, "?")
		request := account + " " + event.Verb + " " + path
		if event.Annotations["authorization.k8s.io/decision"] != "allow" {
			refusals[request] = fmt.Sprintf("%s: %d", request, event.ResponseStatus.Code)
			continue
		}
		allowed[request] = true
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		used[permission(account, event.Verb, event.ObjectRef.APIGroup, resource)]++
		if event.Verb == "patch" && event.ResponseStatus.Code == 201 {
			// An applied object that did not exist must be allowed to be created too.
			used[permission(account, "create", event.ObjectRef.APIGroup, resource)]++
		}
	}
	for request, refusal := range refusals {
		if !allowed[request] {
			refused[refusal]++
		}
	}
	return used, refused, lines.Err()
}

// granted is what the chart's roles allow our accounts.
func granted(ctx context.Context, c *cluster.Cluster) (map[string]bool, error) {
	var roles rbacv1.RoleList
	var clusterRoles rbacv1.ClusterRoleList
	var bindings rbacv1.RoleBindingList
	var clusterBindings rbacv1.ClusterRoleBindingList
	for _, list := range []client.ObjectList{&roles, &clusterRoles, &bindings, &clusterBindings} {
		if err := c.Client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing roles: %w", err)
		}
	}
	rules := map[string][]rbacv1.PolicyRule{}
	for _, role := range clusterRoles.Items {
		rules["ClusterRole "+role.Name] = role.Rules
	}
	for _, role := range roles.Items {
		rules["Role "+role.Namespace+" "+role.Name] = role.Rules
	}
	all := map[string]bool{}
	grant := func(subjects []rbacv1.Subject, role string) {
		for _, subject := range subjects {
			if subject.Kind != rbacv1.ServiceAccountKind || subject.Namespace != cluster.Namespace || !strings.HasPrefix(subject.Name, "keda-add-ons-http") {
				continue
			}
			for _, rule := range rules[role] {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						for _, verb := range rule.Verbs {
							all[permission(subject.Name, verb, group, resource)] = true
						}
					}
				}
			}
		}
	}
	for _, binding := range clusterBindings.Items {
		if !strings.HasPrefix(binding.RoleRef.Name, "system:") { // those are the cluster's
			grant(binding.Subjects, "ClusterRole "+binding.RoleRef.Name)
		}
	}
	for _, binding := range bindings.Items {
		name := binding.RoleRef.Kind + " " + binding.RoleRef.Name
		if binding.RoleRef.Kind == "Role" {
			name = "Role " + binding.Namespace + " " + binding.RoleRef.Name
		}
		grant(binding.Subjects, name)
	}
	return all, nil
}

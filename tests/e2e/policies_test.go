//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
	"github.com/kedacore/http-add-on/tests/support/policies"
)

// Scenario q: the chart's NetworkPolicies admit every connection to the add-on's pods, and each of their rules admits
// one. The node's network does not enforce them, so all connections are there to be seen.
func TestNetworkPoliciesAdmitWhatConnects(t *testing.T) {
	s := together(t, "q-policies")
	const host = "q.example.com"
	s.apply(webApp("app", 0), scaledObject("app"), interceptorRoute("app", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	rules := s.policies()
	used := map[string]bool{}
	s.eventually("each rule to admit a connection", func() (bool, error) {
		if got := s.send(call{url: "http://" + host + "/"}); got.err != nil || got.status != http.StatusOK {
			return false, fmt.Errorf("%+v", got)
		}
		for _, component := range []string{"interceptor", "scaler"} {
			pods, err := s.Pods(s.ctx, cluster.Namespace, "app.kubernetes.io/part-of=keda-add-ons-http,app.kubernetes.io/component="+component)
			if err != nil {
				return false, err
			}
			for _, pod := range pods {
				if isReady(&pod) {
					scraper := &http.Client{Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}}
					s.send(call{by: scraper, url: "http://" + pod.Status.PodIP + ":2223/metrics"})
				}
				if err := s.checkConnections(&pod, rules, used); err != nil {
					return false, err
				}
			}
		}
		return len(used) == len(rules), fmt.Errorf("of %v only %v", slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(used)))
	})
	s.Progress("connections of %v: the NetworkPolicies admit them, and nothing else", slices.Sorted(maps.Keys(used)))
}

// rule is one port of an ingress rule.
type rule struct {
	policy  networkingv1.NetworkPolicy
	ingress networkingv1.NetworkPolicyIngressRule
}

// policies are the rules of the chart, each with one port, by name.
func (s *scenario) policies() map[string]rule {
	s.Helper()
	text, err := s.Helm(s.ctx, "template", cluster.Release, s.Chart(), "--namespace="+cluster.Namespace, "--set=networkPolicy.enabled=true",
		"--show-only=templates/networkpolicy.yaml")
	s.must(err)
	rules := map[string]rule{}
	for document := range strings.SplitSeq(text, "\n---\n") {
		var policy networkingv1.NetworkPolicy
		s.must(yaml.Unmarshal([]byte(document), &policy))
		for i, ingress := range policy.Spec.Ingress {
			for _, port := range ingress.Ports {
				ingress.Ports = []networkingv1.NetworkPolicyPort{port}
				rules[fmt.Sprintf("%s %d %s", policy.Name, i, port.Port)] = rule{policy, ingress}
			}
		}
	}
	if len(rules) < 4 {
		s.Fatalf("the chart renders %d rules", len(rules))
	}
	return rules
}

// checkConnections reports each connection to a pod that no rule admits, and notes the rules that admit one. What comes
// from no pod comes from the node, and no policy blocks that. The agent's connections are the tests'.
func (s *scenario) checkConnections(pod *corev1.Pod, rules map[string]rule, used map[string]bool) error {
	all, err := s.Pods(s.ctx, "", "")
	if err != nil {
		return err
	}
	text, err := s.Connections(s.ctx, pod)
	if err != nil {
		return err
	}
	to := policies.Pod{Namespace: pod.Namespace, Labels: pod.Labels}
	for _, port := range pod.Spec.Containers[0].Ports {
		for _, address := range connected(text, port.ContainerPort) {
			i := slices.IndexFunc(all, func(p corev1.Pod) bool { return !p.Spec.HostNetwork && p.Status.PodIP == address })
			if i < 0 {
				continue
			}
			from := policies.Pod{Namespace: all[i].Namespace, Labels: all[i].Labels}
			admitted := false
			for name, r := range rules {
				if policies.Selects(&r.policy, to) && policies.Admits(r.ingress, r.policy.Namespace, from, port.Name) {
					admitted, used[name] = true, true
				}
			}
			if !admitted && from.Labels["app"] != "agent" {
				s.Errorf("no NetworkPolicy admits %s/%s to the port %s of %s", all[i].Namespace, all[i].Name, port.Name, pod.Name)
			}
		}
	}
	return nil
}

// connected are the addresses of IPv4 that are or were connected to a port, in the text of /proc/net/tcp6.
func connected(text string, port int32) []string {
	var found []string
	for line := range strings.Lines(text) {
		const established, timeWait = "01", "06"
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) || fields[3] != established && fields[3] != timeWait {
			continue
		}
		remote, _, _ := strings.Cut(fields[2], ":")
		var a, b, c, d byte // of a word in the order of the machine
		if _, err := fmt.Sscanf(remote[24:], "%02X%02X%02X%02X", &d, &c, &b, &a); err == nil {
			found = append(found, net.IPv4(a, b, c, d).String())
		}
	}
	return found
}

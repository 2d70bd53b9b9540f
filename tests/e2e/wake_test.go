//go:build e2e && node

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Scenario p: what a client and kubectl see of a wake that a real kubelet delays.

// secret is what no client may see of the cluster.
const secret = "s3cret"

func TestProgressOfAWake(t *testing.T) {
	s := together(t, "p-wake")
	replace := func(workload, old, replacement string) string {
		t.Helper()
		if !strings.Contains(workload, old) {
			t.Fatalf("no %q in %s", old, workload)
		}
		return strings.Replace(workload, old, replacement, 1)
	}
	const image, container = "image: modelsim\n          imagePullPolicy: IfNotPresent", "          readinessProbe:"
	probing := func(path string) string { return "httpGet: {path: " + path }
	tests := []struct {
		name     string
		workload string
		phase    v1beta1.WakePhase
		reason   v1beta1.WakeReason
		sentence string // on the page
	}{
		{"no-image", replace(model("no-image", 0), image, "image: registry.s3cret.example.com/team/none:1"), v1beta1.WakePulling, v1beta1.WakeImagePullFailed, "Its image cannot be downloaded."},
		{"no-room", replace(model("no-room", 0), "      containers:", "      nodeSelector: {s3cret/gpu: a100}\n      containers:"), v1beta1.WakeScheduling, v1beta1.WakeUnschedulable, ""},
		{"no-volume", replace(replace(model("no-volume", 0), "      containers:", "      volumes: [{name: settings, configMap: {name: s3cret-settings}}]\n      containers:"),
			container, "          volumeMounts: [{name: settings, mountPath: /settings}]\n"+container), v1beta1.WakePulling, v1beta1.WakeConfigError, ""},
		{"crash", model("crash", 0, "-s3cret"), "", v1beta1.WakeCrashLoop, ""},
		{"probe", replace(model("probe", 0), probing("/healthz"), probing("/s3cret")), v1beta1.WakeLoading, v1beta1.WakeProbeFailing, ""},
		{"slow-pull", replace(model("slow-pull", 0), image, "image: slow/modelsim\n          imagePullPolicy: Always"), v1beta1.WakePulling, "", ""},
		{"slow-load", model("slow-load", 2*patience), v1beta1.WakeLoading, "", ""},
	}
	var ready []string
	for _, test := range tests {
		s.apply(test.workload, patient(scaledObject(test.name)), interceptorRoute(test.name, test.name+".p.example.com", concurrencyTen,
			`coldStart: {activationLease: 5m, waitingPage: {message: "It is {phase}. {reason}"}}`))
		ready = append(ready, "InterceptorRoute/"+test.name, "ScaledObject/"+test.name)
	}
	s.awaitReady(ready...)
	asked := time.Now()
	for _, test := range tests {
		s.get("http://"+test.name+".p.example.com/", browser())
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := s.part(t)
			s.must(s.Eventually(s.ctx, "the status", 2*patience, func(context.Context) (bool, error) {
				text := s.kubectl("get", "interceptorroute", test.name, "--output=jsonpath={.status.wake.phase}/{.status.wake.reason}")
				phase, reason, _ := strings.Cut(text, "/")
				return (test.phase == "" || phase == string(test.phase)) && reason == string(test.reason), fmt.Errorf("status.wake: %s", text)
			}))
			after := time.Since(asked)
			var body string
			if test.name != "slow-pull" { // it may be over
				s.eventually("the page to show the phase", func() (bool, error) {
					var response *http.Response
					response, body = s.get("http://"+test.name+".p.example.com/", browser())
					word := strings.ToLower(string(test.phase))
					return response.StatusCode == http.StatusServiceUnavailable && strings.Contains(body, "It is "+word) && strings.Contains(body, test.sentence), fmt.Errorf("%s", body)
				})
			}
			if strings.Contains(strings.ReplaceAll(body, test.name, ""), secret) {
				t.Errorf("the page has a name of the cluster: %s", body)
			}
			s.Progress("wake of %-10s %s/%s after %s: %s", test.name, test.phase, test.reason, after.Round(100*time.Millisecond),
				s.kubectl("get", "interceptorroute", test.name, "--output=jsonpath={.status.wake.message}"))
		})
	}
}

package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
)

// The API server refuses events of objects in a terminating namespace. Such an error requires no
// action.
func TestNoErrorForEventsInTerminatingNamespaces(t *testing.T) {
	terminating := apierrors.NewForbidden(schema.GroupResource{Group: "events.k8s.io", Resource: "events"}, "shop", nil)
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for verbosity, want := range map[int]int{0: 1, 1: 2} {
		var lines []string
		log := Quiet(funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{Verbosity: verbosity}))
		log = log.WithName("events").WithValues("a", 1)
		log.Error(terminating, "Server rejected event (will not retry!)")
		log.Error(errors.New("another"), "Server rejected event (will not retry!)")
		if len(lines) != want || !strings.Contains(lines[len(lines)-1], "another") || !strings.Contains(lines[0], `"a"=1`) {
			t.Errorf("at verbosity %d: %q", verbosity, lines)
		}
		for _, line := range lines[:len(lines)-1] {
			if strings.Contains(line, `"error"`) {
				t.Errorf("an error: %s", line)
			}
		}
	}
}

// KEDA warns of each ScaledObject whose minReplicaCount is 1 or more.
func TestNoNoiseOfKEDAForMinReplicas(t *testing.T) {
	var lines []string
	ctx := ctrl.LoggerInto(t.Context(), funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}))
	warnings{}.HandleWarningHeaderWithContext(ctx, 299, "-", "cooldownPeriod has no effect")
	if len(lines) > 0 {
		t.Errorf("got %q", lines)
	}
}

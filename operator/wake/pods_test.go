package wake

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/pkg/kubesource"
)

// watching is a cluster whose watches last until they are ended.
type watching struct{}

func (watching) Run(ctx context.Context, _ func(), _ ...kubesource.Watch) error {
	<-ctx.Done()
	return nil
}

func TestNoWatchBeginsAfterTheLast(t *testing.T) {
	p := newPods(watching{}, func(string, *corev1.Pod) {}, logr.Discard())
	if !p.hold(t.Context(), "before", "route") {
		t.Error("no room for the first watch")
	}
	p.close()
	if p.hold(t.Context(), "after", "route") {
		t.Error("a watch begins that nothing waits for")
		p.close()
	}
}

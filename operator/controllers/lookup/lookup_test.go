package lookup

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
)

// reader has one Service or fails.
type reader struct {
	client.Reader
	service corev1.Service
	err     error
}

func (r reader) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	*into.(*corev1.Service) = r.service
	return r.err
}

func TestPort(t *testing.T) {
	shop := corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
	missing := apierrors.NewNotFound(corev1.Resource("services"), "shop")
	broken := errors.New("broken")
	tests := []struct {
		reason  string
		reader  reader
		ref     v1beta1.TargetRef
		port    int32
		problem string
		err     error
	}{
		{reason: "a port that the Service has", reader: reader{service: shop}, ref: v1beta1.TargetRef{Port: 80}, port: 80},
		{reason: "a port that it has not", reader: reader{service: shop}, ref: v1beta1.TargetRef{Port: 81}, problem: route.ReasonPortNotFound},
		{reason: "a Service that does not exist", reader: reader{err: missing}, ref: v1beta1.TargetRef{Port: 80}, problem: route.ReasonServiceNotFound},
		{reason: "a failed read says nothing about the reference", reader: reader{err: broken}, err: broken},
	}
	for _, test := range tests {
		port, problem, err := Port(t.Context(), test.reader, "apps", test.ref)
		got := ""
		if problem != nil {
			got = problem.Reason
		}
		if port != test.port || got != test.problem || !errors.Is(err, test.err) {
			t.Errorf("%s: port %d, problem %q, error %v; want %d, %q, %v", test.reason, port, got, err, test.port, test.problem, test.err)
		}
	}
}

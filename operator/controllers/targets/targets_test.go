package targets

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

func service(kind corev1.ServiceType, ports ...corev1.ServicePort) corev1.Service {
	return corev1.Service{Spec: corev1.ServiceSpec{Type: kind, Ports: ports}}
}

func TestResolve(t *testing.T) {
	http, admin := corev1.ServicePort{Name: "http", Port: 80}, corev1.ServicePort{Name: "admin", Port: 9090}
	one, two := service("", http), service("", http, admin)
	tests := []struct {
		reason  string
		service corev1.Service
		missing bool
		ref     Ref
		port    int32
		want    string
	}{
		{reason: "by number", service: two, ref: Ref{Port: 9090}, port: 9090},
		{reason: "by name", service: two, ref: Ref{PortName: "admin"}, port: 9090},
		{reason: "the only port", service: one, port: 80},
		{reason: "which of two", service: two, want: ReasonPortAmbiguous},
		{reason: "no such number", service: one, ref: Ref{Port: 81}, want: ReasonPortNotFound},
		{reason: "no such name", service: one, ref: Ref{PortName: "admin"}, want: ReasonPortNotFound},
		{reason: "without ports", service: service(""), want: ReasonPortAmbiguous},
		{reason: "an external name", service: service(corev1.ServiceTypeExternalName, http), ref: Ref{Port: 80}, want: ReasonServiceUnsupported},
		{reason: "no Service", missing: true, ref: Ref{Port: 80}, want: ReasonServiceNotFound},
	}
	for _, test := range tests {
		r := reader{service: test.service}
		if test.missing {
			r.err = apierrors.NewNotFound(corev1.Resource("services"), "shop")
		}
		port, problem, err := Resolve(t.Context(), r, test.ref)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if problem != nil {
			got = problem.Reason
		}
		if port != test.port || got != test.want {
			t.Errorf("%s: port %d, problem %q, want %d, %q", test.reason, port, got, test.port, test.want)
		}
	}
}

func TestAFailedReadIsNoProblemOfTheObject(t *testing.T) {
	broken := errors.New("broken")
	if _, problem, err := Resolve(t.Context(), reader{err: broken}, Ref{}); !errors.Is(err, broken) || problem != nil {
		t.Errorf("problem %v, error %v", problem, err)
	}
}

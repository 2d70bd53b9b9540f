package route

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

func service(kind corev1.ServiceType, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{Spec: corev1.ServiceSpec{Type: kind, Ports: ports}}
}

func TestServicePort(t *testing.T) {
	type ref = v1beta1.TargetRef
	http, admin := corev1.ServicePort{Name: "http", Port: 80}, corev1.ServicePort{Name: "admin", Port: 9090}
	one, two := service("", http), service("", http, admin)
	tests := []struct {
		reason  string
		service *corev1.Service
		ref     ref
		port    int32
		want    string
	}{
		{reason: "by number", service: two, ref: ref{Port: 9090}, port: 9090},
		{reason: "by name", service: two, ref: ref{PortName: "admin"}, port: 9090},
		{reason: "the only port", service: one, port: 80},
		{reason: "which of two", service: two, want: ReasonPortAmbiguous},
		{reason: "no such number", service: one, ref: ref{Port: 81}, want: ReasonPortNotFound},
		{reason: "no such name", service: one, ref: ref{PortName: "admin"}, want: ReasonPortNotFound},
		{reason: "without ports", service: service(""), want: ReasonPortAmbiguous},
		{reason: "an external name", service: service(corev1.ServiceTypeExternalName, http), ref: ref{Port: 80}, want: ReasonServiceUnsupported},
		{reason: "no Service", ref: ref{Port: 80}, want: ReasonServiceNotFound},
	}
	for _, test := range tests {
		port, problem := ServicePort(test.service, test.ref)
		switch {
		case problem != nil && problem.Reason != test.want:
			t.Errorf("%s: problem %q, want %q", test.reason, problem.Reason, test.want)
		case problem == nil && (test.want != "" || port.Port != test.port):
			t.Errorf("%s: port %v, want %d, problem %q", test.reason, port, test.port, test.want)
		}
	}
}

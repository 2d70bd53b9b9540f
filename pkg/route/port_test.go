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
	quic, sctp := corev1.ServicePort{Name: "quic", Port: 80, Protocol: corev1.ProtocolUDP}, corev1.ServicePort{Name: "sctp", Port: 80, Protocol: corev1.ProtocolSCTP}
	tcp := corev1.ServicePort{Name: "tcp", Port: 80, Protocol: corev1.ProtocolTCP}
	tests := []struct {
		reason  string
		service *corev1.Service
		ref     ref
		port    int32
		name    string
		want    string
	}{
		{reason: "by number", service: two, ref: ref{Port: 9090}, port: 9090},
		{reason: "by name", service: two, ref: ref{PortName: "admin"}, port: 9090},
		{reason: "the only port", service: one, port: 80},
		{reason: "which of two", service: two, want: ReasonPortAmbiguous},
		{reason: "no such number", service: one, ref: ref{Port: 81}, want: ReasonPortNotFound},
		{reason: "no such name", service: one, ref: ref{PortName: "admin"}, want: ReasonPortNotFound},
		{reason: "without ports", service: service(""), want: ReasonPortNotFound},
		{reason: "a UDP port of the same number", service: service("", quic, tcp), ref: ref{Port: 80}, port: 80, name: "tcp"},
		{reason: "two of them", service: service("", quic, sctp, http), ref: ref{Port: 80}, port: 80, name: "http"},
		{reason: "the only port that TCP has", service: service("", quic, tcp), port: 80, name: "tcp"},
		{reason: "the name of a UDP port", service: service("", quic, tcp), ref: ref{PortName: "quic"}, want: ReasonPortNotFound},
		{reason: "UDP alone", service: service("", quic), want: ReasonPortNotFound},
		{reason: "an external name", service: service(corev1.ServiceTypeExternalName, http), ref: ref{Port: 80}, want: ReasonServiceUnsupported},
		{reason: "no Service", ref: ref{Port: 80}, want: ReasonServiceNotFound},
	}
	for _, test := range tests {
		port, problem := ServicePort(test.service, test.ref)
		switch {
		case problem != nil && problem.Reason != test.want:
			t.Errorf("%s: problem %q, want %q", test.reason, problem.Reason, test.want)
		case problem == nil && (test.want != "" || port.Port != test.port || test.name != "" && port.Name != test.name):
			t.Errorf("%s: port %v, want %d, problem %q", test.reason, port, test.port, test.want)
		}
	}
}

package route

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// The reasons why a target or a fallback has no port, as conditions have them.
const (
	ReasonServiceNotFound    = "ServiceNotFound"
	ReasonServiceUnsupported = "ServiceUnsupported"
	ReasonPortNotFound       = "PortNotFound"
	ReasonPortAmbiguous      = "PortAmbiguous"
)

// Problem is why a reference of a route leads nowhere.
type Problem struct {
	// Reason is a CamelCase word for programs.
	Reason string
	// Message is for people.
	Message string
}

func problem(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// FallbackTarget returns a fallback in the form of a target.
func FallbackTarget(fallback v1beta1.FallbackService) v1beta1.TargetRef {
	return v1beta1.TargetRef{Service: fallback.Name, Port: fallback.Port, PortName: fallback.PortName}
}

// ServicePort returns the port of a Service that a reference selects, or the problem with it. The
// Service is nil if it does not exist. A reference with neither port nor portName selects the
// only port of the Service. Only TCP ports count: HTTP/3 has a UDP port of the same number, and
// nothing here speaks it.
func ServicePort(service *corev1.Service, ref v1beta1.TargetRef) (*corev1.ServicePort, *Problem) {
	if service == nil {
		return nil, problem(ReasonServiceNotFound, "Service %q does not exist", ref.Service)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil, problem(ReasonServiceUnsupported, "Service %q is of type ExternalName and has no endpoints", ref.Service)
	}
	var ports []*corev1.ServicePort
	for i := range service.Spec.Ports {
		if port := &service.Spec.Ports[i]; port.Protocol == "" || port.Protocol == corev1.ProtocolTCP {
			ports = append(ports, port)
		}
	}
	for _, port := range ports {
		if ref.PortName != "" && port.Name == ref.PortName || ref.Port != 0 && port.Port == ref.Port {
			return port, nil
		}
	}
	switch {
	case ref.PortName != "":
		return nil, problem(ReasonPortNotFound, "Service %q has no TCP port named %q", ref.Service, ref.PortName)
	case ref.Port != 0:
		return nil, problem(ReasonPortNotFound, "Service %q has no TCP port %d", ref.Service, ref.Port)
	case len(ports) == 0:
		return nil, problem(ReasonPortNotFound, "Service %q has no TCP port", ref.Service)
	case len(ports) == 1:
		return ports[0], nil
	}
	return nil, problem(ReasonPortAmbiguous, "Service %q has %d TCP ports: set 'port' or 'portName'", ref.Service, len(ports))
}

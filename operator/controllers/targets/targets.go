// Package targets says which port of a Service a spec means, or why there is
// none, in the words of a condition. It must agree with the interceptor, which
// resolves the same references by itself.
package targets

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/controllers/conditions"
)

// The reasons why a target has no port.
const (
	ReasonServiceNotFound    = "ServiceNotFound"
	ReasonServiceUnsupported = "ServiceUnsupported"
	ReasonPortNotFound       = "PortNotFound"
	ReasonPortAmbiguous      = "PortAmbiguous"
)

// Ref names a port of a Service. With neither a Port nor a PortName the
// Service's only port is meant.
type Ref struct {
	Namespace, Service string
	Port               int32
	PortName           string
}

// Resolve finds the port; if there is none it says why.
func Resolve(ctx context.Context, reader client.Reader, ref Ref) (port int32, problem *conditions.Problem, err error) {
	var service corev1.Service
	err = reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Service}, &service)
	if apierrors.IsNotFound(err) {
		return 0, failure(ReasonServiceNotFound, "Service %q does not exist", ref.Service), nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading Service %s: %w", ref.Service, err)
	}
	port, problem = choose(&service, ref)
	return port, problem, nil
}

func choose(service *corev1.Service, ref Ref) (int32, *conditions.Problem) {
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return 0, failure(ReasonServiceUnsupported, "Service %q is of type ExternalName and has no endpoints", ref.Service)
	}
	ports := service.Spec.Ports
	for _, p := range ports {
		if ref.PortName != "" && p.Name == ref.PortName || ref.Port != 0 && p.Port == ref.Port {
			return p.Port, nil
		}
	}
	switch {
	case ref.PortName != "":
		return 0, failure(ReasonPortNotFound, "Service %q has no port named %q", ref.Service, ref.PortName)
	case ref.Port != 0:
		return 0, failure(ReasonPortNotFound, "Service %q has no port %d", ref.Service, ref.Port)
	case len(ports) == 1:
		return ports[0].Port, nil
	}
	return 0, failure(ReasonPortAmbiguous, "Service %q has %d ports: set 'port' or 'portName'", ref.Service, len(ports))
}

func failure(reason, format string, args ...any) *conditions.Problem {
	return &conditions.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

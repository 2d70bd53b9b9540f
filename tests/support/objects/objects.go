// Package objects makes API objects for tests: small valid ones, and complete ones with every
// field set. For each rule of the API there is one that keeps it and one that breaks it. It
// applies nothing and must not know a cluster.
package objects

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// InterceptorRoute returns a route of one host to port 80 of a Service with the route's name. It
// is scaled on one request in flight, and each change is applied to it.
func InterceptorRoute(namespace, name, host string, changes ...func(*v1beta1.InterceptorRoute)) *v1beta1.InterceptorRoute {
	route := &v1beta1.InterceptorRoute{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: "InterceptorRoute"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1beta1.InterceptorRouteSpec{
			Target:        v1beta1.TargetRef{Service: name, Port: 80},
			Rules:         []v1beta1.RoutingRule{{Hosts: []string{host}}},
			ScalingMetric: v1beta1.ScalingMetricSpec{Concurrency: &v1beta1.ConcurrencyTargetSpec{TargetValue: 1}},
		},
	}
	for _, change := range changes {
		change(route)
	}
	return route
}

// HTTPScaledObject returns one of a host for a Deployment and a Service with its
// own name, without a port; each change is applied to it.
func HTTPScaledObject(namespace, name, host string, changes ...func(*v1alpha1.HTTPScaledObject)) *v1alpha1.HTTPScaledObject {
	object := &v1alpha1.HTTPScaledObject{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "HTTPScaledObject"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.HTTPScaledObjectSpec{
			Hosts:          []string{host},
			ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: name, APIVersion: "apps/v1", Kind: "Deployment", Service: name},
		},
	}
	for _, change := range changes {
		change(object)
	}
	return object
}

// Service returns a Service without a selector, whose EndpointSlices the test
// makes itself.
func Service(namespace, name string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Ports: ports},
	}
}

// EndpointSlice returns the slice of one port of a Service, with the Service's name: portName is
// the name of the Service's port, addresses are IPv4. The API server refuses loopback addresses
// in it.
func EndpointSlice(namespace, service, portName string, port int32, ready bool, addresses ...string) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      service,
			Labels:    map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
	}
	for _, address := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{address},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return slice
}

//go:build e2e

package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

const clusterDomain = "svc.cluster.local."

// resolvConf is /etc/resolv.conf of a pod.
func resolvConf(namespace string) []byte {
	return fmt.Appendf(nil, "nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", dnsServiceIP, namespace)
}

// nameServer answers for Services: with the cluster IP, or with the ready pods of a
// headless one.
type nameServer struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// serve answers until the connection is closed.
func (n *nameServer) serve(conn net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		size, client, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer, err := n.answer(buffer[:size]); err == nil { // else it was not a question
			_, _ = conn.WriteTo(answer, client) // the client asks again
		}
	}
}

func (n *nameServer) answer(packet []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	addresses, found := n.lookup(strings.ToLower(question.Name.String()))
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	if !found {
		reply.RCode = dnsmessage.RCodeNameError
	}
	if question.Type == dnsmessage.TypeA {
		for _, address := range addresses {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	return reply.Pack()
}

// lookup knows names of the form service.namespace.svc.cluster.local.
func (n *nameServer) lookup(name string) (addresses []netip.Addr, found bool) {
	name, ok := strings.CutSuffix(name, "."+clusterDomain)
	if !ok {
		return nil, false
	}
	serviceName, namespace, _ := strings.Cut(name, ".")
	service, err := n.services.Services(namespace).Get(serviceName)
	if err != nil {
		return nil, false
	}
	if address, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		return []netip.Addr{address}, true
	}
	return n.endpoints(service), true
}

func (n *nameServer) endpoints(service *corev1.Service) []netip.Addr {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	found, _ := n.slices.EndpointSlices(service.Namespace).List(selector) // from memory: cannot fail
	var addresses []netip.Addr
	for _, slice := range found {
		for _, endpoint := range slice.Endpoints {
			if address, err := netip.ParseAddr(endpoint.Addresses[0]); err == nil && (endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready) {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}

package process

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// eager is the interval of probes until a replica is ready for the first time. A probe on
// loopback costs next to nothing, and a client waits.
const eager = 25 * time.Millisecond

// probe is a readiness probe with Kubernetes' defaults applied.
type probe struct {
	check            func(context.Context) error
	initialDelay     time.Duration
	period, timeout  time.Duration
	success, failure int32
}

// newProbe makes the container's readiness probe for a replica; without one, a
// TCP connect to its first port.
func newProbe(container *corev1.Container, l *lease) *probe {
	spec := container.ReadinessProbe
	if spec == nil {
		spec = &corev1.Probe{PeriodSeconds: 1}
	}
	p := &probe{
		initialDelay: time.Duration(spec.InitialDelaySeconds) * time.Second,
		period:       time.Duration(cmp.Or(spec.PeriodSeconds, 10)) * time.Second,
		timeout:      time.Duration(cmp.Or(spec.TimeoutSeconds, 1)) * time.Second,
		success:      cmp.Or(spec.SuccessThreshold, 1),
		failure:      cmp.Or(spec.FailureThreshold, 3),
	}
	switch {
	case spec.HTTPGet != nil:
		p.check = httpGet(spec.HTTPGet, l.address(portNumber(container, spec.HTTPGet.Port)))
	case spec.TCPSocket != nil:
		p.check = tcpConnect(l.address(portNumber(container, spec.TCPSocket.Port)))
	default:
		p.check = tcpConnect(l.address(container.Ports[0].ContainerPort))
	}
	return p
}

// portNumber resolves a port that is given by number or by name.
func portNumber(container *corev1.Container, port intstr.IntOrString) int32 {
	if port.Type == intstr.Int {
		return port.IntVal
	}
	for _, p := range container.Ports {
		if p.Name == port.StrVal {
			return p.ContainerPort
		}
	}
	return 0
}

func tcpConnect(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// httpGet is ready on a status of 200 to 399, as for kubelet; it follows no redirect.
func httpGet(action *corev1.HTTPGetAction, address string) func(context.Context) error {
	// Certificates of local programs are seldom signed; kubelet checks none either.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	scheme := strings.ToLower(string(cmp.Or(action.Scheme, corev1.URISchemeHTTP)))
	url := scheme + "://" + address + "/" + strings.TrimPrefix(action.Path, "/")
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		r.Header.Set("User-Agent", "kube-probe/standalone")
		for _, h := range action.HTTPHeaders {
			if strings.EqualFold(h.Name, "Host") {
				r.Host = h.Value
				continue
			}
			r.Header.Add(h.Name, h.Value)
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		_, _ = io.CopyN(io.Discard, response.Body, 10<<10)
		_ = response.Body.Close()
		if response.StatusCode < 200 || response.StatusCode > 399 {
			return fmt.Errorf("probing %s: status %d", url, response.StatusCode)
		}
		return nil
	}
}

// watch probes until ctx ends and tells each change of readiness, beginning
// from not ready.
func (p *probe) watch(ctx context.Context, changed func(ready bool, reason error)) {
	var (
		ready, everReady  bool
		succeeded, failed int32
	)
	timer := time.NewTimer(p.initialDelay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		attempt, cancel := context.WithTimeout(ctx, p.timeout)
		err := p.check(attempt)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			succeeded, failed = succeeded+1, 0
		} else {
			succeeded, failed = 0, failed+1
		}
		switch {
		case !ready && succeeded >= p.success:
			ready, everReady = true, true
			changed(true, nil)
		case ready && failed >= p.failure:
			ready = false
			changed(false, err)
		}
		if !everReady && succeeded == 0 {
			timer.Reset(eager)
		} else {
			timer.Reset(p.period)
		}
	}
}

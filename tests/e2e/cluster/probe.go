//go:build e2e

package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// health is a change that a probe found.
type health struct {
	ready bool
	dead  bool // the liveness or startup probe has failed
}

// watchHealth probes a container from its start on, until ctx ends, and reports what
// changes. A container is not ready before the first report.
func watchHealth(ctx context.Context, c corev1.Container, address netip.Addr, changes chan<- health) {
	report := func(h health) {
		select {
		case changes <- h:
		case <-ctx.Done():
		}
	}
	prober := &prober{container: c, address: address}
	if c.StartupProbe != nil {
		started := false
		first, stop := context.WithCancel(ctx)
		prober.watch(first, c.StartupProbe, func(ok bool) {
			started = ok
			stop()
		})
		stop()
		if !started {
			report(health{dead: true})
			return
		}
	}
	if c.LivenessProbe != nil {
		go prober.watch(ctx, c.LivenessProbe, func(ok bool) {
			if !ok {
				report(health{dead: true})
			}
		})
	}
	if c.ReadinessProbe == nil {
		report(health{ready: true})
		return
	}
	prober.watch(ctx, c.ReadinessProbe, func(ok bool) { report(health{ready: ok}) })
}

// prober asks one container.
type prober struct {
	container corev1.Container
	address   netip.Addr
}

// watch probes until ctx ends and reports the first result and each change. A result stands after
// as many repetitions as the probe's threshold.
func (p *prober) watch(ctx context.Context, probe *corev1.Probe, report func(ok bool)) {
	period := seconds(probe.PeriodSeconds, 10)
	if !wait(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second) {
		return
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	last, count := false, int32(0)
	for {
		ok := p.ask(ctx, probe) == nil
		if ctx.Err() != nil {
			return
		}
		if ok != last {
			last, count = ok, 0
		}
		count++
		threshold := max(probe.SuccessThreshold, 1)
		if !ok {
			threshold = max(probe.FailureThreshold, 1) // the API server's default is 3
		}
		if count == threshold {
			report(ok)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *prober) ask(ctx context.Context, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, seconds(probe.TimeoutSeconds, 1))
	defer cancel()
	switch {
	case probe.HTTPGet != nil:
		return p.get(ctx, probe.HTTPGet)
	case probe.TCPSocket != nil:
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target(probe.TCPSocket.Port))
		if err != nil {
			return err
		}
		return conn.Close()
	case probe.GRPC != nil:
		return p.check(ctx, probe.GRPC)
	}
	return errors.New("this kind of probe is not known here")
}

func (p *prober) get(ctx context.Context, action *corev1.HTTPGetAction) error {
	scheme := "http"
	if action.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+p.target(action.Port)+action.Path, nil)
	if err != nil {
		return err
	}
	for _, header := range action.HTTPHeaders {
		request.Header.Add(header.Name, header.Value)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	if response.StatusCode < 200 || response.StatusCode > 399 {
		err = fmt.Errorf("answered %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

func (p *prober) check(ctx context.Context, action *corev1.GRPCAction) error {
	conn, err := grpc.NewClient("passthrough:///"+p.target(intstr.FromInt32(action.Port)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	service := ""
	if action.Service != nil {
		service = *action.Service
	}
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		return err
	}
	if answer.Status != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}

// target is the address of a port by number or name.
func (p *prober) target(port intstr.IntOrString) string {
	number := port.IntVal
	for _, named := range p.container.Ports {
		if port.Type == intstr.String && named.Name == port.StrVal {
			number = named.ContainerPort
		}
	}
	return net.JoinHostPort(p.address.String(), strconv.Itoa(int(number)))
}

func seconds(n, otherwise int32) time.Duration {
	if n == 0 {
		n = otherwise
	}
	return time.Duration(n) * time.Second
}

// wait says whether ctx lasted so long.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

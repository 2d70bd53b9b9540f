package scenario

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	scalerapp "github.com/kedacore/http-add-on/scaler/app"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// Fleet is what a scaler costs for so many interceptors, routes and changes.
type Fleet struct {
	Interceptors, Routes int
	// Rate is how many reports of a changed route arrive a second, over all
	// interceptors.
	Rate float64
	// StartCPU is the processor time until every interceptor has reported all.
	StartCPU time.Duration
	// RSS after that, in bytes.
	RSS int64
	// IdleCore and BusyCore are shares of a core without changes and with them.
	IdleCore, BusyCore float64
}

// Change is the processor time that one report of a changed route costs.
func (f Fleet) Change() time.Duration {
	if f.Rate == 0 {
		return 0
	}
	return time.Duration((f.BusyCore - f.IdleCore) / f.Rate * float64(time.Second))
}

// ScaleFleet runs a scaler against interceptors that report routes, first while
// nothing changes and then while so many routes change a second.
func ScaleFleet(interceptors, routes, rate int, d time.Duration, cores ...int) (Fleet, error) {
	result := Fleet{Interceptors: interceptors, Routes: routes}
	fleet, err := role.Start(role.Fleet, role.FleetOptions{Interceptors: interceptors, Routes: routes})
	if err != nil {
		return result, err
	}
	defer fleet.Stop()
	options := role.ScalerOptions{Routes: routes}
	for n := range interceptors {
		options.Interceptors = append(options.Interceptors, fleet.Addresses[fmt.Sprintf("interceptor-%d", n)])
	}
	p, err := role.Start(role.Scaler, options, cores...)
	if err != nil {
		return result, err
	}
	defer p.Stop()
	if err := serving(p.Proxy()); err != nil {
		return result, err
	}
	if err := fleet.Wait("/readers", int64(interceptors)); err != nil {
		return result, err
	}
	cpu, err := p.Ask("/cpu")
	if err != nil {
		return result, err
	}
	result.StartCPU = time.Duration(cpu)
	if result.RSS, err = p.Ask("/memory"); err != nil {
		return result, err
	}
	if result.IdleCore, _, err = watch(p, fleet, d); err != nil {
		return result, err
	}
	if _, err := fleet.Ask(fmt.Sprintf("/load?rate=%d", rate)); err != nil {
		return result, err
	}
	var changes float64
	result.BusyCore, changes, err = watch(p, fleet, d)
	result.Rate = changes * float64(interceptors)
	return result, err
}

// watch returns the share of a core that the scaler uses, and how many routes of
// each interceptor changed a second.
func watch(p, fleet *role.Server, d time.Duration) (core, changes float64, err error) {
	read := func() (cpu, changed int64, err error) {
		if cpu, err = p.Ask("/cpu"); err != nil {
			return 0, 0, err
		}
		changed, err = fleet.Ask("/changes")
		return cpu, changed, err
	}
	begun := time.Now()
	cpu, changed, err := read()
	if err != nil {
		return 0, 0, err
	}
	over := time.NewTimer(d)
	<-over.C
	cpuAfter, changedAfter, err := read()
	took := time.Since(begun)
	return float64(cpuAfter-cpu) / float64(took), float64(changedAfter-changed) / took.Seconds(), err
}

// serving blocks until the scaler reports that it has heard every interceptor.
func serving(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	health, err := healthv1.NewHealthClient(connection).Watch(ctx, &healthv1.HealthCheckRequest{Service: scalerapp.HealthReadiness}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		response, err := health.Recv()
		if err != nil {
			return fmt.Errorf("waiting for the scaler: %w", err)
		}
		if response.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return nil
		}
	}
}

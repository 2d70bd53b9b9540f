package main

import (
	"time"

	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// size of a fleet.
type size struct{ Interceptors, Routes int }

// fleetSizes are the corners that the model is solved for, and then two points
// that it is checked with.
var fleetSizes = []size{{20, 1000}, {20, 5000}, {60, 1000}, {60, 5000}, {40, 10_000}, {100, 3000}}

// corners is how many of fleetSizes the model is solved for.
const corners = 4

// largest is what the model is for.
var largest = size{1000, 100_000}

// model is a + b·interceptors + c·routes + d·interceptors·routes.
type model struct{ Base, Interceptor, Route, Both float64 }

// solve returns the model that passes through four corners of a rectangle, in the
// order of fleetSizes.
func solve(f []scenario.Fleet, value func(scenario.Fleet) float64) model {
	k0, k1 := float64(f[0].Interceptors), float64(f[2].Interceptors)
	r0, r1 := float64(f[0].Routes), float64(f[1].Routes)
	v00, v01, v10, v11 := value(f[0]), value(f[1]), value(f[2]), value(f[3])
	var m model
	m.Both = (v11 - v10 - v01 + v00) / ((k1 - k0) * (r1 - r0))
	m.Interceptor = (v10-v00)/(k1-k0) - m.Both*r0
	m.Route = (v01-v00)/(r1-r0) - m.Both*k0
	m.Base = v00 - m.Interceptor*k0 - m.Route*r0 - m.Both*k0*r0
	return m
}

func (m model) at(s size) float64 {
	k, r := float64(s.Interceptors), float64(s.Routes)
	return m.Base + m.Interceptor*k + m.Route*r + m.Both*k*r
}

// RouteKiB and BothBytes are terms of a model in MiB, in units that can be read.
func (m model) RouteKiB() float64  { return m.Route * 1024 }
func (m model) BothBytes() float64 { return m.Both * (1 << 20) }

// The values of a fleet that have a model.
func fleetMiB(f scenario.Fleet) float64   { return float64(f.RSS) / (1 << 20) }
func fleetStart(f scenario.Fleet) float64 { return f.StartCPU.Seconds() }

// fleetReport is the median processor time of one report of a changed route, over
// all sizes, in µs.
func fleetReport(all []scenario.Fleet) float64 {
	return float64(scenario.Median(all, scenario.Fleet.Change)) / float64(time.Microsecond)
}

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// goal is one promise, and whether this run keeps it.
type goal struct {
	What, Aim, Value string
	Met, Known       bool
}

// Verdict says whether the goal is met.
func (g goal) Verdict() string {
	switch {
	case !g.Known:
		return "not run"
	case g.Met:
		return "met"
	}
	return "not met"
}

// goals judges the run.
func (r *Results) goals() []goal {
	all := []goal{
		r.beside("Warm GET of 1 KiB, 50 connections: CPU", scenario.Warm, cpuOf, 0.80),
		r.beside("the same: p99 at saturation", scenario.Warm, p99Of, 1),
		r.beside("the same: allocations", scenario.Warm, allocsOf, 0.75),
		r.beside("POST of 8 KiB: CPU", scenario.Upload8K, cpuOf, 1),
		r.beside("POST of 1 MiB: CPU", scenario.Upload1M, cpuOf, 1),
		r.beside("Download of 1 MiB: CPU", scenario.Download1M, cpuOf, 1),
		r.beside("TLS in: CPU", scenario.TLSIn, cpuOf, 1),
		r.beside("h2c out: CPU", scenario.H2COut, cpuOf, 1),
		r.beside("WebSocket echo: CPU of a message", scenario.WebSocket, cpuOf, 1),
		r.beside("1,000 event streams: CPU of an event", scenario.Events, cpuOf, 1),
	}
	few, many := r.releases(5000), r.releases(20_000)
	all = append(all, goal{
		What: "Release of 5,000: CPU, all answered", Aim: "≤ 0.4 s, none lost", Known: len(few) > 0,
		Value: fmt.Sprintf("%.2f s, %d lost", cpuOfRelease(few).Seconds(), lost(few)),
		Met:   cpuOfRelease(few) <= 400*time.Millisecond && lost(few) == 0,
	})
	times := scenario.Median(many, scenario.Release.Ratio)
	all = append(all, goal{
		What: "Release of 20,000 through a backlog of 128", Aim: "≤ 2.5 × the backend alone, none lost", Known: len(many) > 0,
		Value: fmt.Sprintf("%.2f ×, %d lost", times, lost(many)), Met: times <= 2.5 && lost(many) == 0,
	})
	ours, bare := r.Closing[contender.Us], r.Closing[contender.Bare]
	all = append(all, goal{
		What: "POST to a backend that closes idle connections: 502s", Aim: "fewer than ReverseProxy, or none", Known: len(r.Closing) > 0,
		Value: fmt.Sprintf("%d of %d, ReverseProxy %d", ours.BadGateway, ours.Posts, bare.BadGateway),
		Met:   (ours.BadGateway < bare.BadGateway || ours.BadGateway == 0) && ours.Other == 0,
	})
	for i := range all {
		if !all[i].Known {
			all[i].Value = "–"
		}
	}
	return all
}

// beside compares the interceptor with the bare proxy: the median over rounds of
// the ratio within a round.
func (r *Results) beside(what, id string, value func(scenario.Measurement) float64, most float64) goal {
	g := goal{What: what, Aim: fmt.Sprintf("≤ %.2f × ReverseProxy", most)}
	s := r.series(id)
	if s == nil {
		return g
	}
	ratios := s.ratios(contender.Us, value)
	if len(ratios) == 0 {
		return g
	}
	middle := ratios[len(ratios)/2]
	g.Known, g.Met = true, middle <= most
	g.Value = fmt.Sprintf("%.2f × (%.2f–%.2f)", middle, ratios[0], ratios[len(ratios)-1])
	return g
}

// ratios of a contender to the bare proxy, one of each round, sorted.
func (s *Series) ratios(name string, value func(scenario.Measurement) float64) []float64 {
	var ratios []float64
	for n := range min(len(s.Rounds[name]), len(s.Rounds[contender.Bare])) {
		if bare := value(s.Rounds[contender.Bare][n]); bare > 0 {
			ratios = append(ratios, value(s.Rounds[name][n])/bare)
		}
	}
	slices.Sort(ratios)
	return ratios
}

func (r *Results) releases(requests int) []scenario.Release {
	var some []scenario.Release
	for _, release := range r.Release {
		if release.Requests == requests {
			some = append(some, release)
		}
	}
	return some
}

func cpuOfRelease(all []scenario.Release) time.Duration {
	return scenario.Median(all, func(r scenario.Release) time.Duration { return r.CPU })
}

func lost(all []scenario.Release) int64 {
	var sum int64
	for _, r := range all {
		sum += r.Lost
	}
	return sum
}

package main

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

//go:embed page.md.tmpl
var pageText string

// write writes the page.
func (r *Results) write(w io.Writer) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"goals":    r.goals,
		"cost":     func() string { return r.table(false, cpuCell) },
		"rate":     func() string { return r.table(false, rateCell) },
		"latency":  func() string { return r.table(false, latencyCell) },
		"steady":   func() string { return r.table(true, latencyCell) },
		"memory":   func() string { return r.table(false, memoryCell) },
		"ms":       func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) },
		"mib":      func(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) },
		"kib":      func(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<10)) },
		"percent":  func(share float64) string { return fmt.Sprintf("%.1f", 100*share) },
		"closing":  r.closingRows,
		"releases": r.releaseRows,
		"replica":  r.replica,
		"cores":    r.coreRows,
		"fleet":    r.fleetModel,
		"us":       func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/1e3) },
		"streams":  func() float64 { return scenario.Median(r.Streams.Ratios, func(v float64) float64 { return v }) },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	return page.Execute(w, r)
}

// table has a row for each scenario and a column for each contender. steady selects
// those at a share of the maximum rate.
func (r *Results) table(steady bool, cell func(*Series, string) string) string {
	var b strings.Builder
	b.WriteString("| | connections |")
	for _, c := range r.Contenders {
		fmt.Fprintf(&b, " %s |", c.Name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(r.Contenders)) + "\n")
	for i := range r.Warm {
		s := &r.Warm[i]
		if (s.Share > 0) != steady {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d |", s.Title, s.Connections)
		for _, c := range r.Contenders {
			text := "–"
			if len(s.Rounds[c.Name]) > 0 {
				text = cell(s, c.Name)
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// spread returns the median of a value, with the lowest and the highest round.
func spread(rounds []scenario.Measurement, format string, value func(scenario.Measurement) float64) string {
	lowest, highest := value(rounds[0]), value(rounds[0])
	for _, m := range rounds {
		lowest, highest = min(lowest, value(m)), max(highest, value(m))
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", scenario.Median(rounds, value), lowest, highest)
}

func cpuCell(s *Series, name string) string {
	text := spread(s.Rounds[name], "%.1f", cpuOf)
	if ratios := s.ratios(name, cpuOf); name != contender.Bare && len(ratios) > 0 {
		text += fmt.Sprintf(", **%.2f ×**", ratios[len(ratios)/2])
	}
	return text
}

// rateCell marks a rate that the load or the backend limited.
func rateCell(s *Series, name string) string {
	text := fmt.Sprintf("%.0f", scenario.Median(s.Rounds[name], rateOf))
	if scenario.Median(s.Rounds[name], busyOf) < 0.9 {
		text = "≥ " + text
	}
	return text
}

func latencyCell(s *Series, name string) string {
	return fmt.Sprintf("%.2f / %s", scenario.Median(s.Rounds[name], p50Of), spread(s.Rounds[name], "%.2f", p99Of))
}

func memoryCell(s *Series, name string) string {
	return fmt.Sprintf("%.0f", scenario.Median(s.Rounds[name], rssOf))
}

// closingRow is a contender in front of a backend that closes idle connections.
type closingRow struct {
	Name string
	scenario.ClosedIdle
}

func (r *Results) closingRows() []closingRow {
	var rows []closingRow
	for _, c := range r.Contenders {
		if closed, ok := r.Closing[c.Name]; ok {
			rows = append(rows, closingRow{c.Name, closed})
		}
	}
	return rows
}

// releaseRow is a number of held requests.
type releaseRow struct {
	Requests, OverHTTP2    int
	Memory, Lost           int64
	Took, Alone, CPU, Each time.Duration
	Ratio                  float64
	Dialled                int64
}

func (r *Results) releaseRows() []releaseRow {
	var rows []releaseRow
	for _, requests := range []int{1000, 5000, 20_000} {
		some := r.releases(requests)
		if len(some) == 0 {
			continue
		}
		cpu := cpuOfRelease(some)
		rows = append(rows, releaseRow{
			Requests: requests, OverHTTP2: some[0].OverHTTP2, Lost: lost(some), CPU: cpu, Each: cpu / time.Duration(requests),
			Memory:  scenario.Median(some, func(r scenario.Release) int64 { return r.Memory }),
			Took:    scenario.Median(some, func(r scenario.Release) time.Duration { return r.Took }),
			Alone:   scenario.Median(some, func(r scenario.Release) time.Duration { return r.Alone }),
			Ratio:   scenario.Median(some, scenario.Release.Ratio),
			Dialled: scenario.Median(some, func(r scenario.Release) int64 { return r.Dialled }),
		})
	}
	return rows
}

// coreRow is a process on so many cores.
type coreRow struct {
	Name            string
	Cores           int
	CPU, Rate, Busy string
}

func (r *Results) coreRows() []coreRow {
	var rows []coreRow
	for _, c := range r.Cores {
		rows = append(rows, coreRow{
			Name: c.Name, Cores: c.Cores, CPU: spread(c.Rounds, "%.1f", cpuOf), Rate: spread(c.Rounds, "%.0f", rateOf),
			Busy: fmt.Sprintf("%.2f", scenario.Median(c.Rounds, busyOf)),
		})
	}
	return rows
}

// replicaMemory is the memory limit that a replica is sized for, and replicaShare the part of it
// that may be in use. Above that, the interceptor refuses what it would have to hold.
const (
	replicaMemory = 256 << 20
	replicaShare  = 0.85
)

// replica is what one core and 256 MiB carry, by what this run measured.
type replica struct {
	Rate, Uploads, TLS float64 // at 70 % of a core
	Rest               float64 // MiB with few routes
	RouteKiB           float64
	Held, Streams      int // what fits beside 10,000 routes
	StreamCore         float64
}

func (r *Results) replica() replica {
	var v replica
	at70 := func(id string) float64 {
		s := r.series(id)
		if s == nil || len(s.Rounds[contender.Us]) == 0 {
			return 0
		}
		return 0.7 * 1e6 / scenario.Median(s.Rounds[contender.Us], cpuOf)
	}
	v.Rate, v.Uploads, v.TLS = at70(scenario.Warm), at70(scenario.Upload8K), at70(scenario.TLSIn)
	if len(r.Churn) < 3 {
		return v
	}
	few, some, many := r.Churn[0], r.Churn[1], r.Churn[2]
	v.Rest = float64(few.RSS) / (1 << 20)
	v.RouteKiB = float64(many.RSS-few.RSS) / float64(many.Routes-few.Routes) / (1 << 10)
	room := replicaShare*replicaMemory - float64(some.RSS)
	if rows := r.releaseRows(); len(rows) > 1 && rows[1].Memory > 0 {
		v.Held = int(room / float64(rows[1].Memory))
	}
	if r.Streams != nil && r.Streams.Ours.Memory > 0 {
		v.Streams = int(room / float64(r.Streams.Ours.Memory))
		v.StreamCore = 100 * r.Streams.Ours.Core / float64(r.Streams.Streams) * 1000
	}
	return v
}

// fleetRow is a size, measured beside what the model says.
type fleetRow struct {
	scenario.Fleet
	Check                  bool // the model was not made from it
	MiB, ModelMiB          float64
	StartSeconds, ModelCPU float64
	ReportMicroseconds     float64
}

// fleetModel is the scaler's model and its points.
type fleetModel struct {
	Rows          []fleetRow
	Memory, Start model
	Report        float64 // µs
	Largest       size
	MiB, StartCPU float64 // at the largest size
	Carried       float64 // reports a second on one core
}

// GiB at the largest size.
func (m *fleetModel) GiB() float64 { return m.MiB / 1024 }

func (r *Results) fleetModel() *fleetModel {
	if len(r.Fleet) < corners {
		return nil
	}
	m := &fleetModel{
		Memory: solve(r.Fleet[:corners], fleetMiB), Start: solve(r.Fleet[:corners], fleetStart), Report: fleetReport(r.Fleet), Largest: largest,
	}
	for i, f := range r.Fleet {
		at := size{f.Interceptors, f.Routes}
		m.Rows = append(m.Rows, fleetRow{
			Fleet: f, Check: i >= corners, MiB: fleetMiB(f), ModelMiB: m.Memory.at(at), StartSeconds: fleetStart(f), ModelCPU: m.Start.at(at),
			ReportMicroseconds: float64(f.Change()) / 1e3,
		})
	}
	m.MiB, m.StartCPU = m.Memory.at(largest), m.Start.at(largest)
	if m.Report > 0 {
		m.Carried = 1e6 / m.Report
	}
	return m
}

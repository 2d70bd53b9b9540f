// Command bars draws the plots of docs/performance from its results.json, which
// tests/bench/compare has written. Bars are grouped: a group for each scenario and a bar for each
// contender.
//
//	bars docs/performance
package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// results is what this command reads of results.json.
type results struct {
	Contenders []struct{ Name string }
	Warm       []series
}

type series struct {
	ID, Title   string
	Connections int
	Share       float64
	Rounds      map[string][]measurement
}

type measurement struct{ CPU, P99, PeakRSS float64 }

// palette distinguishes the contenders, also for people who cannot tell all colors apart
// (the palette of Okabe and Ito).
var palette = []color.Color{
	color.RGBA{0xD5, 0x5E, 0x00, 0xff}, color.RGBA{0x00, 0x72, 0xB2, 0xff}, color.RGBA{0x00, 0x9E, 0x73, 0xff},
	color.RGBA{0xE6, 0x9F, 0x00, 0xff}, color.RGBA{0xCC, 0x79, 0xA7, 0xff},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bars FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "bars:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, "results.json"))
	if err != nil {
		return err
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	closed := slices.DeleteFunc(r.Warm, func(s series) bool { return s.Share > 0 })
	for _, p := range []struct {
		file, title string
		value       func(measurement) float64
	}{
		{"cpu.svg", "CPU a request in µs", func(m measurement) float64 { return m.CPU / 1e3 }},
		{"p99.svg", "p99 at saturation in ms", func(m measurement) float64 { return m.P99 / 1e6 }},
		{"memory.svg", "peak resident memory in MiB", func(m measurement) float64 { return m.PeakRSS / (1 << 20) }},
	} {
		if err := draw(filepath.Join(folder, p.file), p.title, r, closed, p.value); err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
	}
	return nil
}

// draw writes one plot. The axis is logarithmic: a request of 10 MiB stands beside
// one of nothing.
func draw(path, title string, r results, all []series, value func(measurement) float64) error {
	p := plot.New()
	p.Title.Text = title
	p.Y.Scale, p.Y.Tick.Marker = logScale{}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	width := vg.Points(60) / vg.Length(len(r.Contenders)+1)
	lowest, highest := math.Inf(1), 0.0
	for n, c := range r.Contenders {
		values := make(plotter.Values, len(all))
		for i, s := range all {
			values[i] = median(s.Rounds[c.Name], value)
			if values[i] > 0 {
				lowest, highest = min(lowest, values[i]), max(highest, values[i])
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = palette[n%len(palette)], 0
		bars.Offset = width * (vg.Length(n) - vg.Length(len(r.Contenders)-1)/2)
		p.Add(bars)
		p.Legend.Add(c.Name, bars)
	}
	p.Legend.Top = true
	p.Legend.Left = true
	p.Y.Min, p.Y.Max = lowest/2, highest*8 // with room for the legend
	labels := make([]string, len(all))
	for i, s := range all {
		labels[i] = fmt.Sprintf("%s\n%d conns", strings.ReplaceAll(s.Title, ", ", "\n"), s.Connections)
	}
	p.NominalX(labels...)
	return p.Save(vg.Points(66)*vg.Length(len(all)+1), vg.Points(380), path)
}

// logScale is plot.LogScale, except that bars may begin at 0: what lies below the
// axis is drawn at its end.
type logScale struct{}

// Normalize implements plot.Normalizer.
func (logScale) Normalize(lowest, highest, x float64) float64 {
	return math.Log(max(x, lowest)/lowest) / math.Log(highest/lowest)
}

func median(rounds []measurement, value func(measurement) float64) float64 {
	if len(rounds) == 0 {
		return 0
	}
	var all []float64
	for _, m := range rounds {
		all = append(all, value(m))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

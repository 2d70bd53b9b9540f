// Command compare measures the interceptor beside other proxies, in one run and on
// the same work, and writes docs/performance: results.json, and README.md from it.
//
//	compare [-o docs/performance] [-rounds 3] [-time 800ms] [-traefik PATH] [-only PART,…]
//	compare -render          writes README.md again, from results.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

func main() {
	role.Main()
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	r := runner{out: out, begun: time.Now(), plan: harness.NewPlan()}
	folder := flag.String("o", "docs/performance", "folder to write to")
	flag.IntVar(&r.rounds, "rounds", 3, "rounds of each scenario; all contenders take part in each")
	flag.DurationVar(&r.time, "time", 800*time.Millisecond, "how long a contender is measured in a round")
	flag.DurationVar(&r.most, "most", 12*time.Minute, "what has not begun after this is left out")
	flag.StringVar(&r.traefik, "traefik", "", "path of Traefik's binary; without it, Traefik is left out")
	only := flag.String("only", "", "parts or scenarios to run, separated by commas; the parts are "+strings.Join(partNames(), ", "))
	render := flag.Bool("render", false, "measure nothing, write the page again")
	flag.Parse()

	path := filepath.Join(*folder, "results.json")
	var results Results
	if *render {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &results); err != nil {
			return err
		}
	} else {
		r.results = &results
		if err := r.measure(strings.FieldsFunc(*only, func(c rune) bool { return c == ',' })); err != nil {
			return err
		}
		text, err := json.MarshalIndent(results, "", " ")
		if err != nil {
			return err
		}
		if err := os.MkdirAll(*folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	for _, g := range results.goals() {
		fmt.Fprintf(out, "%-8s %-62s %-34s aim %s\n", g.Verdict(), g.What, g.Value, g.Aim)
	}
	page, err := os.Create(filepath.Join(*folder, "README.md"))
	if err != nil {
		return err
	}
	defer page.Close()
	if err := results.write(page); err != nil {
		return err
	}
	return page.Close()
}

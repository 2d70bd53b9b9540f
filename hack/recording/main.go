// Command recording runs standalone with its examples, asks the sleeping model one
// question, and writes what the client received as an animated SVG. `make recording`
// builds the programs first and writes docs/images/cold-start.svg for the README.
//
//	recording bin/standalone FILE
//
// Every line has the time at which it arrived. Only the parts of an event beside its
// delta are replaced by "…".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	proxy, admin = "http://localhost:8080", "http://localhost:9090"
	host         = "llm.localhost:8080"

	question = `{"model":"llm","stream":true,"messages":[{"role":"user","content":"Hello"}]}`
	// loop is the length of the animation.
	loop = 20 * time.Second
	// patience bounds the whole run.
	patience = 2 * time.Minute
)

// line is a line that the client received.
type line struct {
	after time.Duration
	text  string
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: recording bin/standalone FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

func run(standalone, file string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lines, err := record(ctx, standalone)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(draw(lines)), 0o644)
}

// record returns the lines of one answer from a cold start.
func record(ctx context.Context, standalone string) (lines []line, err error) {
	server := exec.CommandContext(ctx, standalone, "-f", "examples/standalone")
	server.Stderr = os.Stderr
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	if err := server.Start(); err != nil {
		return nil, err
	}
	defer func() {
		stopped := server.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, stopped, server.Wait())
	}()
	for !ready(ctx) {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for standalone: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, proxy+"/v1/chat/completions", strings.NewReader(question))
	if err != nil {
		return nil, err
	}
	request.Host = host // curl resolves names below localhost itself, Go does not
	request.Header.Set("Content-Type", "application/json")
	begun := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	for scanner := bufio.NewScanner(response.Body); ; {
		if !scanner.Scan() {
			return lines, scanner.Err()
		}
		if text := scanner.Text(); text != "" {
			lines = append(lines, line{time.Since(begun), shorten(text)})
		}
	}
}

// ready reports whether standalone has loaded its routes.
func ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// shorten returns an event with only the delta of its first choice, if it has one.
func shorten(text string) string {
	var event struct {
		Choices []struct{ Delta json.RawMessage }
	}
	data, ok := strings.CutPrefix(text, "data: ")
	if !ok || json.Unmarshal([]byte(data), &event) != nil || len(event.Choices) == 0 {
		return text
	}
	return `data: {…"delta":` + string(event.Choices[0].Delta) + `…}`
}

const (
	width, rowHeight, margin = 900, 18, 16
	style                    = `text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d1d7e0;white-space:pre}` +
		`.t{fill:#9198a1}.c{fill:#7ee787}g{animation:` // the duration follows
)

// draw returns the animation: each line appears when it arrived. Readers who prefer
// reduced motion see all lines at once.
func draw(lines []line) string {
	command := []string{
		"$ curl -N http://" + host + `/v1/chat/completions -H 'Content-Type: application/json' \`,
		"    -d '" + question + "'",
	}
	var rules, body strings.Builder
	y := margin + rowHeight
	for _, text := range command {
		fmt.Fprintf(&body, `<text class="c" x="%d" y="%d">%s</text>`+"\n", margin, y, html.EscapeString(text))
		y += rowHeight
	}
	for i, l := range lines {
		at := 100 * l.after.Seconds() / loop.Seconds()
		fmt.Fprintf(&rules, "@keyframes l%d{0%%,%.2f%%{opacity:0}%.2f%%,100%%{opacity:1}}#l%d{animation-name:l%d}\n", i, at, at+0.01, i, i)
		fmt.Fprintf(&body, `<g id="l%d"><text class="t" x="%d" y="%d">%4.1f s</text><text x="%d" y="%d">%s</text></g>`+"\n",
			i, margin, y, l.after.Seconds(), margin+64, y, html.EscapeString(l.text))
		y += rowHeight
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="A recorded cold start">
<style>%s%.0fs step-end infinite}
%s@media (prefers-reduced-motion:reduce){g{animation:none!important}}</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
%s</svg>
`, width, y, style, loop.Seconds(), rules.String(), body.String())
}

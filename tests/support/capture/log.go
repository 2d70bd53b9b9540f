// Package capture keeps what components log and processes write, for tests that read it
// while they run.
package capture

import (
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// Log keeps lines. The zero value is empty and ready to use; it is safe for
// concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Add keeps a line.
func (l *Log) Add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// Logger returns a logger that keeps its lines up to a verbosity, and hands each to
// tee unless that is nil.
func (l *Log) Logger(verbosity int, tee func(line string)) logr.Logger {
	return funcr.New(func(_, line string) {
		l.Add(line)
		if tee != nil {
			tee(line)
		}
	}, funcr.Options{Verbosity: verbosity})
}

// Lines returns all lines so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// Count returns how many of the lines contain all of the words.
func (l *Log) Count(words ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for _, line := range l.lines {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		n++
	}
	return n
}

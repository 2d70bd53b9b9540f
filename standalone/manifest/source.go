package manifest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/pkg/kubesource"
)

// An editor writes a file in several steps; a reload waits until they are over
// for quiet, but never longer than patience.
const (
	quiet    = 100 * time.Millisecond
	patience = time.Second
)

// Source feeds the interceptor from files and passes each new Set to an observer.
type Source struct {
	paths    []string
	checker  Checker
	log      logr.Logger
	observe  func(*Set)
	current  *Set
	problems []Problem
}

var _ routesync.Source = (*Source)(nil)

// NewSource returns a Source; a path that does not exist is an error. Run calls observe for the
// first Set and after each change. observe must not block.
func NewSource(paths []string, checker Checker, log logr.Logger, observe func(*Set)) (*Source, error) {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
	}
	return &Source{paths: paths, checker: checker, log: log, observe: observe}, nil
}

// Run reads the files, feeds the sink, and follows changes until ctx ends. All
// state of the Source belongs to the goroutine that runs it.
func (s *Source) Run(ctx context.Context, sink routesync.Sink) error {
	watcher, err := s.watch()
	if err != nil {
		s.log.Error(err, "manifests are not watched")
	} else {
		defer func() { _ = watcher.Close() }()
	}
	s.reload(sink)
	sink.Synced()
	if watcher == nil {
		<-ctx.Done()
		return nil
	}

	var settled, overdue <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			s.log.Error(err, "watching manifests")
		case event := <-watcher.Events:
			if event.Op == fsnotify.Chmod {
				continue
			}
			settled = time.After(quiet)
			if overdue == nil {
				overdue = time.After(patience)
			}
			continue
		case <-settled:
		case <-overdue:
		}
		settled, overdue = nil, nil
		s.reload(sink)
	}
}

// watch watches folders, never files: editors and ConfigMap volumes replace a
// file by a rename, which ends a watch on it.
func (s *Source) watch() (*fsnotify.Watcher, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching manifests: %w", err)
	}
	for _, path := range s.paths {
		if info, statErr := os.Stat(path); statErr != nil || !info.IsDir() {
			path = filepath.Dir(path)
		}
		if err := watcher.Add(path); err != nil {
			_ = watcher.Close()
			return nil, fmt.Errorf("watching %s: %w", path, err)
		}
	}
	return watcher, nil
}

func (s *Source) reload(sink routesync.Sink) {
	next, problems := Load(s.paths, s.checker, s.current)
	set, deleted := s.current.changes(next)
	first := s.current == nil
	s.current = next
	s.report(problems)
	for _, e := range set {
		if object, ok := forSink(e); ok {
			sink.Set(object)
		}
	}
	for _, e := range deleted {
		if object, ok := forSink(e); ok {
			sink.Delete(object)
		}
	}
	if first || len(set)+len(deleted) > 0 {
		s.log.Info("manifests applied", "objects", len(next.entries), "changed", len(set), "deleted", len(deleted), "problems", len(problems))
		s.observe(next)
	}
}

// report logs the problems that were not there before.
func (s *Source) report(problems []Problem) {
	for _, p := range problems {
		if slices.Contains(s.problems, p) {
			continue
		}
		if p.Refused {
			s.log.Error(nil, "manifest is refused", "file", p.File, "line", p.Line, "object", p.Object, "reason", p.Reason)
		} else {
			s.log.Info("manifest only partly applied", "file", p.File, "line", p.Line, "object", p.Object, "reason", p.Reason)
		}
	}
	s.problems = problems
}

// forSink picks what the interceptor itself reads. It gets a copy: its side is
// free to keep or change what it is given.
func forSink(e Entry) (kubesource.Object, bool) {
	switch object := e.Object.(type) {
	case *unstructured.Unstructured:
		return object.DeepCopy(), true
	case *corev1.Service:
		return object.DeepCopy(), true
	case *corev1.ConfigMap:
		return object.DeepCopy(), true
	}
	return nil, false
}

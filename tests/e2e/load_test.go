//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// load is a steady load of requests, and what came of them.
type load struct {
	s       *scenario
	cancel  context.CancelFunc
	clients sync.WaitGroup

	mu       sync.Mutex
	answers  map[string]int // by text: how many
	last     string
	failures []string
}

// steady starts clients, each of which sends a request, waits for its answer, and goes
// on after a pause, until stop is called. Their connections are kept alive, those of a
// third each are new.
func (s *scenario) steady(clients int, pause time.Duration, ask func(ctx context.Context) (string, error)) *load {
	ctx, cancel := context.WithCancel(s.ctx)
	l := &load{s: s, cancel: cancel, answers: map[string]int{}}
	for range clients {
		l.clients.Go(func() {
			ticker := time.NewTicker(pause)
			defer ticker.Stop()
			for {
				l.ask(ask)
				select {
				case <-ticker.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	s.Cleanup(cancel)
	return l
}

// ask sends one request, and lets it end when the load is stopped.
func (l *load) ask(ask func(ctx context.Context) (string, error)) {
	ctx, cancel := context.WithTimeout(l.s.ctx, patience)
	defer cancel()
	started := time.Now()
	text, err := ask(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s, after %s: %v", started.Format(time.TimeOnly), time.Since(started), err))
		return
	}
	l.answers[text]++
	l.last = text
}

// count is how many answers came so far, with that text.
func (l *load) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[text]
}

// stop ends the load, checks that no request failed, and returns the answers.
func (l *load) stop() map[string]int {
	l.s.Helper()
	l.cancel()
	l.clients.Wait()
	if n := len(l.failures); n > 0 {
		l.s.Errorf("%d requests failed, the first ones: %v", n, l.failures[:min(n, 5)])
	}
	return maps.Clone(l.answers)
}

// names are the texts of the answers, sorted.
func names(answers map[string]int) []string { return slices.Sorted(maps.Keys(answers)) }

// whichModel asks a model server for the name of its model.
func (s *scenario) whichModel(host string) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		body, err := fetch(ctx, s.HTTP, http.MethodGet, "http://"+host+"/v1/models", nil)
		if err != nil {
			return "", err
		}
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal(body, &list); err != nil || len(list.Data) != 1 {
			return "", fmt.Errorf("reading the models (%w): %s", err, body)
		}
		return list.Data[0].ID, nil
	}
}

// question asks a model server something that does not stream: the answer takes a
// moment. A client like this does not try again what it has sent.
func (s *scenario) question(host string) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		body := []byte(`{"model":"simulated","messages":[{"role":"user","content":"Are you there?"}]}`)
		_, err := fetch(ctx, s.HTTP, http.MethodPost, "http://"+host+"/v1/chat/completions", body)
		return "answer", err
	}
}

// fetch returns the body of an answer with status 200.
func fetch(ctx context.Context, client *http.Client, method, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, content)
	}
	return content, err
}

// clientOf sends all requests to one address.
func clientOf(address string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DisableCompression: true, DisableKeepAlives: true,
	}}
}

// opened is a streaming question whose answer has begun.
func (s *scenario) opened(client *http.Client, host, model, question string) <-chan chat {
	s.Helper()
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": true, "messages": []any{map[string]string{"role": "user", "content": question}},
	})
	s.must(err)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/v1/chat/completions", bytes.NewReader(body))
	s.must(err)
	request.Header.Set("Content-Type", "application/json")
	answer := chat{asked: time.Now()}
	response, err := client.Do(request)
	if err != nil {
		cancel()
		s.Fatal(err)
	}
	ended := make(chan chat, 1)
	go func() {
		defer cancel()
		defer func() { _ = response.Body.Close() }()
		answer.read(response)
		ended <- answer
	}()
	return ended
}

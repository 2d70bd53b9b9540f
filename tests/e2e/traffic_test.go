//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"
)

// traffic is a steady load of requests, and what came of them.
type traffic struct {
	s       *scenario
	cancel  context.CancelFunc
	clients sync.WaitGroup

	mu       sync.Mutex
	answers  map[string]int // by text: how many
	last     string
	failures []string
}

// steady starts clients, each of which sends a request, waits for its answer, and goes
// on after a pause, until stop is called. Some of their connections are kept alive,
// some are new.
func (s *scenario) steady(clients int, pause time.Duration, ask func(ctx context.Context) (string, error)) *traffic {
	ctx, cancel := context.WithCancel(s.ctx)
	l := &traffic{s: s, cancel: cancel, answers: map[string]int{}}
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
func (l *traffic) ask(ask func(ctx context.Context) (string, error)) {
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
func (l *traffic) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[text]
}

// stop ends the load, checks that no request failed, and returns the answers.
func (l *traffic) stop() map[string]int {
	l.s.Helper()
	l.cancel()
	l.clients.Wait()
	if n := len(l.failures); n > 0 {
		l.s.Errorf("%d requests failed, the first ones: %v", n, l.failures[:min(n, 5)])
	}
	return maps.Clone(l.answers)
}

// whichModel asks a model server for the name of its model.
func (s *scenario) whichModel(host string) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		answer := s.exchange(call{ctx: ctx, url: "http://" + host + "/v1/models"})
		if answer.err != nil || answer.status != http.StatusOK {
			return "", fmt.Errorf("asking for the models: %+v: %w", answer, answer.err)
		}
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal([]byte(answer.body), &list); err != nil {
			return "", fmt.Errorf("reading the models %s: %w", answer.body, err)
		}
		if len(list.Data) != 1 {
			return "", fmt.Errorf("one model, not these: %s", answer.body)
		}
		return list.Data[0].ID, nil
	}
}

// question asks a model server something that does not stream: the answer takes a
// moment. A client does not send such a request again by itself.
func (s *scenario) question(host string) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		answer := s.exchange(call{
			ctx: ctx, method: http.MethodPost, url: "http://" + host + "/v1/chat/completions",
			body: `{"model":"simulated","messages":[{"role":"user","content":"Are you there?"}]}`,
		})
		if answer.err != nil || answer.status != http.StatusOK {
			return "", fmt.Errorf("asking a question: %+v: %w", answer, answer.err)
		}
		return "answer", nil
	}
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

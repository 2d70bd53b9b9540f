//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// chat is the answer to a streaming question, as it came.
type chat struct {
	status int
	header http.Header
	asked  time.Time
	first  time.Time // the first event
	last   time.Time // the last one
	texts  []string  // content of each chunk, empty ones too
	ids    []string  // of each chunk
	done   bool      // [DONE] has come
	err    error     // of the connection
}

// text is all that a person would read.
func (c chat) text() string { return strings.Join(c.texts, "") }

// ask asks a streaming question with OpenAI's API and reads the answer to its end.
func (s *scenario) ask(host, question string) chat {
	s.Helper()
	return <-s.askSoon(host, question)
}

// askSoon is ask, in the background.
func (s *scenario) askSoon(host, question string) <-chan chat {
	s.Helper()
	body, err := json.Marshal(map[string]any{
		"model": "simulated", "stream": true, "messages": []any{map[string]string{"role": "user", "content": question}},
	})
	s.must(err)
	answer := make(chan chat, 1)
	go func() {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		answer <- s.readChat(ctx, "http://"+host+"/v1/chat/completions", string(body))
	}()
	return answer
}

func (s *scenario) readChat(ctx context.Context, url, body string) chat {
	answer := chat{asked: time.Now()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		answer.err = err
		return answer
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.HTTP.Do(request)
	if err != nil {
		answer.err = err
		return answer
	}
	defer func() { _ = response.Body.Close() }()
	answer.read(response)
	return answer
}

// read reads the answer to its end.
func (c *chat) read(response *http.Response) {
	c.status, c.header = response.StatusCode, response.Header
	for event, err := range cluster.Events(response.Body) {
		if err != nil {
			c.err = err
			return
		}
		if c.first.IsZero() {
			c.first = event.At
		}
		c.last = event.At
		if event.Data == "[DONE]" {
			c.done = true
			continue
		}
		var chunk struct {
			ID      string
			Choices []struct{ Delta struct{ Content string } }
		}
		if c.err = json.Unmarshal([]byte(event.Data), &chunk); c.err != nil {
			return
		}
		c.ids = append(c.ids, chunk.ID)
		for _, choice := range chunk.Choices {
			c.texts = append(c.texts, choice.Delta.Content)
		}
	}
}

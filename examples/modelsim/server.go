package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody bounds a request.
const maxBody = 64 << 20

// simulator answers the endpoints of a model server.
type simulator struct {
	model   string
	failure int           // status of every answer; 0 is none
	pause   time.Duration // between two tokens
	started time.Time
	ready   atomic.Bool
	served  atomic.Int64
}

func (s *simulator) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("POST /v1/chat/completions", s.completion(chat{}))
	mux.HandleFunc("POST /v1/completions", s.completion(text{}))
	return mux
}

func (s *simulator) health(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "loading", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func (s *simulator) models(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"object": "list",
		"data": []any{map[string]any{
			"id": s.model, "object": "model", "created": s.started.Unix(), "owned_by": "modelsim",
		}},
	})
}

// request holds the fields of both kinds of completion that matter here.
type request struct {
	Model         string          `json:"model"`
	Messages      []message       `json:"messages"`
	Prompt        json.RawMessage `json:"prompt"`
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	N          int    `json:"n"`
	Tools      []tool `json:"tools"`
	ToolChoice any    `json:"tool_choice"`
	Format     struct {
		Type string `json:"type"`
	} `json:"response_format"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type tool struct {
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// completion serves one endpoint in the given shape.
func (s *simulator) completion(f shape) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil {
			writeError(w, http.StatusBadRequest, "the body is not a JSON object: "+err.Error())
			return
		}
		if status := s.failureOf(r, req); status != 0 {
			writeError(w, status, fmt.Sprintf("simulated failure %d", status))
			return
		}
		if !s.ready.Load() {
			writeError(w, http.StatusServiceUnavailable, "the model is loading")
			return
		}
		a := answerTo(req, f)
		a.id = fmt.Sprintf("%s-%d", f.prefix(), s.served.Add(1))
		a.created = time.Now().Unix()
		log.Printf("answering %s, stream=%t, %d tokens", r.URL.Path, req.Stream, a.tokens())
		if req.Stream {
			s.stream(w, r, req, f, a)
			return
		}
		if !sleep(r.Context(), s.pause*time.Duration(a.tokens())) {
			return
		}
		writeJSON(w, http.StatusOK, f.whole(req, a))
	}
}

// failureOf is the status that was asked for: by flag, by header or by the
// model's name.
func (s *simulator) failureOf(r *http.Request, req request) int {
	asked := r.Header.Get("X-Fail")
	if status, ok := strings.CutPrefix(req.Model, "fail-"); ok && asked == "" {
		asked = status
	}
	if status, err := strconv.Atoi(asked); err == nil && status >= 400 && status <= 599 {
		return status
	}
	return s.failure
}

// stream writes the answer token by token. A choice ends before the next one
// begins.
func (s *simulator) stream(w http.ResponseWriter, r *http.Request, req request, f shape, a answer) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := http.NewResponseController(w)
	send := func(chunk any) bool {
		data, err := json.Marshal(chunk)
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	for i := range a.choices {
		for j, chunk := range f.chunks(req, a, i) {
			if j > 0 && s.pause > 0 && !sleep(r.Context(), s.pause) {
				return
			}
			if !send(chunk) {
				return
			}
		}
	}
	if req.StreamOptions.IncludeUsage && !send(f.usage(req, a)) {
		return
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// writeError answers with an error as OpenAI shapes it.
func writeError(w http.ResponseWriter, status int, message string) {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status >= 500:
		kind = "server_error"
	}
	writeJSON(w, status, map[string]any{"error": map[string]any{
		"message": message, "type": kind, "param": nil, "code": strconv.Itoa(status),
	}})
}

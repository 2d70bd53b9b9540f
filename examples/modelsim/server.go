package main

import (
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net/http"
	"sync/atomic"
	"time"
)

// maxBody bounds a request.
const maxBody = 64 << 20

// api is how one endpoint speaks.
type api interface {
	// read turns a request into a question. An error is the client's fault.
	read(r *http.Request, body []byte) (question, error)
	// whole is the answer as one JSON document.
	whole(q question, a answer) any
	// events is the answer as a stream.
	events(q question, a answer) []event
	// problem is a failure.
	problem(status int, message string) any
}

// event is one part of a stream.
type event struct {
	kind string // of a server-sent event; empty means no type
	data any
}

// done ends a stream of OpenAI's older APIs. It is not JSON.
type done struct{}

type object = map[string]any

// simulator answers the endpoints of a model server.
type simulator struct {
	model   string
	failure int           // status of every answer; 0 means the usual one
	pause   time.Duration // between two tokens
	started time.Time
	ready   atomic.Bool
	asked   atomic.Int64 // requests for an answer
}

func (s *simulator) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /health", s.health) // as vLLM and llama.cpp name it
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /v1/models", s.models)
	// Groq and Azure have OpenAI's APIs below other prefixes.
	for _, prefix := range []string{"/v1", "/openai/v1", "/openai/deployments/{deployment}"} {
		mux.HandleFunc("POST "+prefix+"/chat/completions", s.serve(openAIChat{}))
		mux.HandleFunc("POST "+prefix+"/completions", s.serve(openAICompletions{}))
		mux.HandleFunc("POST "+prefix+"/responses", s.serve(openAIResponses{}))
	}
	mux.HandleFunc("POST /v1/messages", s.serve(anthropic{}))
	mux.HandleFunc("POST /api/chat", s.serve(ollama{}))
	mux.HandleFunc("POST /api/generate", s.serve(ollama{generate: true}))
	mux.HandleFunc("POST /v2/chat", s.serve(cohere{}))
	mux.HandleFunc("POST /{version}/models/{call}", s.serve(gemini{}))
	return mux
}

func (s *simulator) health(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "loading", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// metrics tells a test what has reached the model.
func (s *simulator) metrics(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, "modelsim_requests_total %d\n", s.asked.Load())
}

func (s *simulator) models(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{
		"object": "list",
		"data":   []any{object{"id": s.model, "object": "model", "created": s.started.Unix(), "owned_by": "modelsim"}},
	})
}

// serve answers in the way of one API.
func (s *simulator) serve(speaks api) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		fail := func(status int, message string) { writeJSON(w, status, speaks.problem(status, message)) }
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			fail(http.StatusBadRequest, "reading the body: "+err.Error())
			return
		}
		q, err := speaks.read(r, body)
		if err != nil {
			fail(http.StatusBadRequest, "the body is not what this API takes: "+err.Error())
			return
		}
		hash := fnv.New64a()
		_, _ = hash.Write(body)
		q.id = fmt.Sprintf("%016x", hash.Sum64())
		m := modeOf(q.model)
		if m.status == 0 {
			m.status = s.failure
		}
		switch {
		case m.hang:
			<-r.Context().Done()
		case m.html:
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html><body><h1>502 Bad Gateway</h1></body></html>\n")
		case m.status != 0:
			fail(m.status, fmt.Sprintf("simulated failure %d", m.status))
		case !s.ready.Load():
			fail(http.StatusServiceUnavailable, "the model is loading")
		default:
			s.answer(w, r, speaks, q, m)
		}
	}
}

// answer writes an answer, streamed or whole.
func (s *simulator) answer(w http.ResponseWriter, r *http.Request, speaks api, q question, m mode) {
	a := answerTo(q)
	log.Printf("answering %s, model=%q, stream=%t, %d tokens", r.URL.Path, q.model, q.stream, a.tokens())
	out := &output{w: w, body: w, pause: max(s.pause, m.pause)}
	if m.gzip {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzip.NewWriter(w)
		defer compressed.Close()
		out.body = compressed
	}
	if q.stream && !m.json {
		_, lines := speaks.(ollama)
		events := speaks.events(q, a)
		if m.cut {
			events = events[:len(events)/2]
		}
		out.stream(r, events, lines)
		if m.cut {
			panic(http.ErrAbortHandler)
		}
		return
	}
	if !sleep(r.Context(), out.pause*time.Duration(a.tokens())) {
		return
	}
	document := encode(speaks.whole(q, a))
	w.Header().Set("Content-Type", "application/json")
	if m.cut {
		_, _ = out.body.Write(document[:len(document)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = out.body.Write(document)
}

// output is the answer on its way.
type output struct {
	w     http.ResponseWriter
	body  io.Writer // w, or what compresses for it
	pause time.Duration
}

// stream writes events, as JSON lines or as server-sent events, until the
// client leaves.
func (o *output) stream(r *http.Request, events []event, lines bool) {
	o.w.Header().Set("Content-Type", "text/event-stream")
	if lines {
		o.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	o.w.Header().Set("Cache-Control", "no-cache")
	for i, e := range events {
		if i > 0 && o.pause > 0 && !sleep(r.Context(), o.pause) {
			return
		}
		if _, err := o.body.Write(e.render(lines)); err != nil {
			return
		}
		if compressed, ok := o.body.(*gzip.Writer); ok && compressed.Flush() != nil {
			return
		}
		if http.NewResponseController(o.w).Flush() != nil {
			return
		}
	}
}

// render is the event as it is sent.
func (e event) render(line bool) []byte {
	data := encode(e.data)
	if _, last := e.data.(done); last {
		data = []byte("[DONE]")
	}
	switch {
	case line:
		return append(data, '\n')
	case e.kind != "":
		return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", e.kind, data)
	}
	return fmt.Appendf(nil, "data: %s\n\n", data)
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(document))
}

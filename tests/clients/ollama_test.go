package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	ollama "github.com/ollama/ollama/api"
)

// ollamaGo is Ollama's own client.
var ollamaGo = []client{
	{name: "ollama", api: ollamaChat, stream: ollamaGoChat, explain: ollamaGoFailure, hides: ollamaGoHides},
	{name: "ollama", api: ollamaGenerate, stream: ollamaGoGenerate, explain: ollamaGoFailure, hides: ollamaGoHides},
}

// The client does not notice that a stream ends early, asleep or not.
var ollamaGoHides = hides{id: true, cut: true, leaving: true}

func newOllama(via *http.Client, base string) (*ollama.Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return ollama.NewClient(u, via), nil
}

func ollamaGoChat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk, err := newOllama(via, base)
	if err != nil {
		return said{}, err
	}
	var params ollama.ChatRequest
	if err := json.Unmarshal([]byte(question), &params); err != nil {
		return said{}, err
	}
	var got said
	err = sdk.Chat(ctx, &params, func(line ollama.ChatResponse) error {
		*got.text(0) += line.Message.Content
		got.reasoning += line.Message.Thinking
		for _, t := range line.Message.ToolCalls {
			got.calls = append(got.calls, call{t.Function.Name, t.Function.Arguments.String()})
		}
		got.finish, got.tokens = line.DoneReason, int64(line.EvalCount)
		return nil
	})
	return got, err
}

func ollamaGoGenerate(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk, err := newOllama(via, base)
	if err != nil {
		return said{}, err
	}
	var params ollama.GenerateRequest
	if err := json.Unmarshal([]byte(question), &params); err != nil {
		return said{}, err
	}
	var got said
	err = sdk.Generate(ctx, &params, func(line ollama.GenerateResponse) error {
		*got.text(0) += line.Response
		got.reasoning += line.Thinking
		got.finish, got.tokens = line.DoneReason, int64(line.EvalCount)
		return nil
	})
	return got, err
}

func ollamaGoFailure(err error) failure {
	var refused ollama.StatusError
	if errors.As(err, &refused) {
		return failure{status: refused.StatusCode, message: refused.ErrorMessage}
	}
	return failure{message: err.Error()}
}

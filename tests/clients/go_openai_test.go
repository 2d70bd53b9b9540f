package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	goopenai "github.com/sashabaranov/go-openai"
)

// goOpenAI is the SDK of the community, which has no accumulator.
var goOpenAI = []client{
	{name: "go-openai", api: chat, stream: goOpenAIChat, explain: goOpenAIFailure},
	{name: "go-openai", api: completions, stream: goOpenAICompletions, explain: goOpenAIFailure},
	{name: "go-openai", api: responses, stream: goOpenAIResponses, explain: goOpenAIFailure},
}

func newGoOpenAI(via *http.Client, base string) *goopenai.Client {
	config := goopenai.DefaultConfig("none")
	config.BaseURL, config.HTTPClient = base+"/v1", via
	return goopenai.NewClientWithConfig(config)
}

// receive reads a stream of the SDK to its end.
func receive[T any](recv func() (T, error), add func(T) error) error {
	for {
		chunk, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = add(chunk)
		}
		if err != nil {
			return err
		}
	}
}

func goOpenAIChat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	var params goopenai.ChatCompletionRequest
	if err := json.Unmarshal([]byte(question), &params); err != nil {
		return said{}, err
	}
	stream, err := newGoOpenAI(via, base).CreateChatCompletionStream(ctx, params)
	if err != nil {
		return said{}, err
	}
	defer stream.Close()
	var got said
	return got, receive(stream.Recv, func(chunk goopenai.ChatCompletionStreamResponse) error {
		got.id = chunk.ID
		for _, choice := range chunk.Choices {
			*got.text(choice.Index) += choice.Delta.Content
			got.reasoning += choice.Delta.ReasoningContent
			got.finish = string(choice.FinishReason)
			for _, t := range choice.Delta.ToolCalls {
				if t.Function.Name != "" {
					got.calls = append(got.calls, call{name: t.Function.Name})
				}
				got.calls[*t.Index].args += t.Function.Arguments
			}
		}
		if chunk.Usage != nil {
			got.tokens = int64(chunk.Usage.TotalTokens)
		}
		return nil
	})
}

func goOpenAICompletions(ctx context.Context, via *http.Client, base, question string) (said, error) {
	var params goopenai.CompletionRequest
	if err := json.Unmarshal([]byte(question), &params); err != nil {
		return said{}, err
	}
	stream, err := newGoOpenAI(via, base).CreateCompletionStream(ctx, params)
	if err != nil {
		return said{}, err
	}
	defer stream.Close()
	var got said
	return got, receive(stream.Recv, func(chunk goopenai.CompletionResponse) error {
		got.addCompletion(chunk)
		return nil
	})
}

func goOpenAIResponses(ctx context.Context, via *http.Client, base, question string) (said, error) {
	var params goopenai.CreateResponseRequest
	if err := json.Unmarshal([]byte(question), &params); err != nil {
		return said{}, err
	}
	var asked struct{ Tools []map[string]any }
	into(question, &asked)
	for i := range asked.Tools {
		delete(asked.Tools[i], "type")
		params.Tools[i].Parameters = asked.Tools[i] // the SDK writes them, but does not read them
	}
	stream, err := newGoOpenAI(via, base).CreateResponseStream(ctx, params)
	if err != nil {
		return said{}, err
	}
	defer stream.Close()
	var got said
	return got, receive(stream.Recv, func(event goopenai.ResponseStreamEvent) error {
		if event.Type == "error" {
			// The SDK hands errors out as events.
			return fmt.Errorf("an event of the stream: %s", event.Raw)
		}
		got.addResponseEvent(string(event.Raw))
		return nil
	})
}

func goOpenAIFailure(err error) failure {
	var refused *goopenai.APIError
	if errors.As(err, &refused) {
		return failure{refused.HTTPStatusCode, refused.Message, fmt.Sprint(refused.Code), refused.Type}
	}
	return errorObject(err.Error())
}

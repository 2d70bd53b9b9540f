package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	v3responses "github.com/openai/openai-go/v3/responses"
)

// openAIv3 is OpenAI's SDK.
var openAIv3 = []client{
	{name: "openai-go-v3", api: chat, stream: openAIv3Chat, explain: openAIv3Failure},
	{name: "openai-go-v3", api: completions, stream: openAIv3Completions, explain: openAIv3Failure},
	{name: "openai-go-v3", api: responses, stream: openAIv3Responses, explain: openAIv3Failure},
}

func newOpenAIv3(via *http.Client, base string) openai.Client {
	return openai.NewClient(option.WithBaseURL(base+"/v1"), option.WithAPIKey("none"), option.WithHTTPClient(via), option.WithMaxRetries(0))
}

func openAIv3Chat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := newOpenAIv3(via, base)
	stream := sdk.Chat.Completions.NewStreaming(ctx, param.Override[openai.ChatCompletionNewParams](json.RawMessage(question)))
	defer stream.Close()
	var all openai.ChatCompletionAccumulator
	var reasoning string
	for stream.Next() {
		chunk := stream.Current()
		if !all.AddChunk(chunk) {
			return said{}, fmt.Errorf("the accumulator dropped %s", chunk.RawJSON())
		}
		reasoning += reasoningOf(chunk.RawJSON())
	}
	return chatSaid(all.ChatCompletion, reasoning), stream.Err()
}

func openAIv3Completions(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := newOpenAIv3(via, base)
	stream := sdk.Completions.NewStreaming(ctx, param.Override[openai.CompletionNewParams](json.RawMessage(question)))
	defer stream.Close()
	var got said
	for stream.Next() {
		got.addCompletion(stream.Current().RawJSON())
	}
	return got, stream.Err()
}

func openAIv3Responses(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := newOpenAIv3(via, base)
	stream := sdk.Responses.NewStreaming(ctx, param.Override[v3responses.ResponseNewParams](json.RawMessage(question)))
	defer stream.Close()
	var got said
	for stream.Next() {
		got.addResponseEvent(stream.Current().RawJSON())
	}
	return got, stream.Err()
}

func openAIv3Failure(err error) failure {
	var refused *openai.Error
	if errors.As(err, &refused) {
		return failure{refused.StatusCode, refused.Message, refused.Code, refused.Type}
	}
	return errorObject(err.Error())
}

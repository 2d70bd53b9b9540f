package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	openaiv1 "github.com/openai/openai-go"
	"github.com/openai/openai-go/option"
	"github.com/openai/openai-go/packages/param"
	v1responses "github.com/openai/openai-go/responses"
)

// openAIv1 is OpenAI's SDK as it was before version 3: its parser ends a stream
// at a blank line that follows a comment.
var openAIv1 = []client{
	{name: "openai-go-v1", api: chat, stream: openAIv1Chat, explain: openAIv1Failure},
	{name: "openai-go-v1", api: completions, stream: openAIv1Completions, explain: openAIv1Failure},
	{name: "openai-go-v1", api: responses, stream: openAIv1Responses, explain: openAIv1Failure},
}

func newOpenAIv1(via *http.Client, base string) openaiv1.Client {
	return openaiv1.NewClient(option.WithBaseURL(base+"/v1"), option.WithAPIKey("none"), option.WithHTTPClient(via), option.WithMaxRetries(0))
}

func openAIv1Chat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := newOpenAIv1(via, base)
	stream := sdk.Chat.Completions.NewStreaming(ctx, param.Override[openaiv1.ChatCompletionNewParams](json.RawMessage(question)))
	defer stream.Close()
	var all openaiv1.ChatCompletionAccumulator
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

func openAIv1Completions(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := newOpenAIv1(via, base)
	stream := sdk.Completions.NewStreaming(ctx, param.Override[openaiv1.CompletionNewParams](json.RawMessage(question)))
	defer stream.Close()
	var got said
	for stream.Next() {
		got.addCompletion(stream.Current().RawJSON())
	}
	return got, stream.Err()
}

func openAIv1Responses(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := newOpenAIv1(via, base)
	stream := sdk.Responses.NewStreaming(ctx, param.Override[v1responses.ResponseNewParams](json.RawMessage(question)))
	defer stream.Close()
	var got said
	for stream.Next() {
		got.addResponseEvent(stream.Current().RawJSON())
	}
	return got, stream.Err()
}

func openAIv1Failure(err error) failure {
	var refused *openaiv1.Error
	if errors.As(err, &refused) {
		return failure{refused.StatusCode, refused.Message, refused.Code, refused.Type}
	}
	return errorObject(err.Error())
}

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/ai/azopenai"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
)

// azOpenAI is Azure's SDK: [DONE] completes its streams, whatever came before.
var azOpenAI = []client{
	{name: "azopenai", api: chat, stream: azOpenAIChat, explain: azOpenAIFailure, hides: azOpenAIHides},
	{name: "azopenai", api: completions, stream: azOpenAICompletions, explain: azOpenAIFailure, hides: azOpenAIHides},
}

// The SDK takes an error event for a chunk without choices, and then notices that the
// stream is incomplete.
var azOpenAIHides = hides{reasoning: true, message: true, kind: true, code: true}

func newAzOpenAI(via *http.Client, base string) (*azopenai.Client, error) {
	return azopenai.NewClientWithKeyCredential(base, azcore.NewKeyCredential("none"), &azopenai.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: via, Retry: policy.RetryOptions{MaxRetries: -1}, InsecureAllowCredentialWithHTTP: true,
	}})
}

func azOpenAIChat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk, err := newAzOpenAI(via, base)
	if err != nil {
		return said{}, err
	}
	// The SDK writes requests, and does not read one.
	var asked struct {
		Model  string           `json:"model"`
		N      *int32           `json:"n"`
		Tools  []any            `json:"tools"`
		Format *json.RawMessage `json:"response_format"`
		Usage  any              `json:"stream_options"`
	}
	into(question, &asked)
	params := azopenai.ChatCompletionsStreamOptions{
		DeploymentName: &asked.Model, N: asked.N,
		Messages: []azopenai.ChatRequestMessageClassification{&azopenai.ChatRequestUserMessage{Content: azopenai.NewChatRequestUserMessageContent("Hello")}},
	}
	if asked.Tools != nil {
		params.Tools = []azopenai.ChatCompletionsToolDefinitionClassification{&azopenai.ChatCompletionsFunctionToolDefinition{
			Function: &azopenai.ChatCompletionsFunctionToolDefinitionFunction{Name: to.Ptr("weather"), Parameters: []byte(schema)},
		}}
	}
	if asked.Format != nil {
		params.ResponseFormat = &azopenai.ChatCompletionsJSONSchemaResponseFormat{
			JSONSchema: &azopenai.ChatCompletionsJSONSchemaResponseFormatJSONSchema{Name: to.Ptr("place"), Schema: []byte(schema), Strict: to.Ptr(true)},
		}
	}
	if asked.Usage != nil {
		params.StreamOptions = &azopenai.ChatCompletionStreamOptions{IncludeUsage: to.Ptr(true)}
	}
	answer, err := sdk.GetChatCompletionsStream(ctx, params, nil)
	if err != nil {
		return said{}, err
	}
	defer answer.ChatCompletionsStream.Close()
	var got said
	err = receive(answer.ChatCompletionsStream.Read, func(chunk azopenai.ChatCompletions) error {
		got.addChunk(chunk)
		return nil
	})
	return got, err
}

func azOpenAICompletions(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk, err := newAzOpenAI(via, base)
	if err != nil {
		return said{}, err
	}
	var asked struct {
		Model string `json:"model"`
		N     *int32 `json:"n"`
		Usage any    `json:"stream_options"`
	}
	into(question, &asked)
	params := azopenai.CompletionsStreamOptions{DeploymentName: &asked.Model, Prompt: []string{"Hello"}, N: asked.N}
	if asked.Usage != nil {
		params.StreamOptions = &azopenai.ChatCompletionStreamOptions{IncludeUsage: to.Ptr(true)}
	}
	answer, err := sdk.GetCompletionsStream(ctx, params, nil)
	if err != nil {
		return said{}, err
	}
	defer answer.CompletionsStream.Close()
	var got said
	err = receive(answer.CompletionsStream.Read, func(chunk azopenai.Completions) error {
		got.addCompletion(chunk)
		return nil
	})
	return got, err
}

func azOpenAIFailure(err error) failure {
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		body, _ := io.ReadAll(refused.RawResponse.Body) // an unreadable body is not a message
		f := errorObject(string(body))
		f.status = refused.StatusCode
		return f
	}
	return failure{message: err.Error()}
}

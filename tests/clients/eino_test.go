package clients

import (
	"context"
	"errors"
	"net/http"

	einoopenai "github.com/cloudwego/eino-ext/components/model/openai"
	einoschema "github.com/cloudwego/eino/schema"
)

// einoOpenAI is Eino with its models of OpenAI, which asks with a fork of go-openai.
var einoOpenAI = []client{{
	name: "eino", api: chat, stream: einoChat, explain: einoFailure, variants: []string{plain, tools}, hides: hides{id: true, tokens: true, kind: true, code: true},
}}

func einoChat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	var asked struct {
		Model string `json:"model"`
		Tools []any  `json:"tools"`
	}
	into(question, &asked)
	model, err := einoopenai.NewChatModel(ctx, &einoopenai.ChatModelConfig{APIKey: "none", HTTPClient: via, BaseURL: base + "/v1", Model: asked.Model})
	if err != nil {
		return said{}, err
	}
	if asked.Tools != nil {
		tool := &einoschema.ToolInfo{Name: "weather", ParamsOneOf: einoschema.NewParamsOneOfByParams(map[string]*einoschema.ParameterInfo{"city": {Type: einoschema.String, Required: true}})}
		if err := model.BindTools([]*einoschema.ToolInfo{tool}); err != nil {
			return said{}, err
		}
	}
	stream, err := model.Stream(ctx, []*einoschema.Message{einoschema.UserMessage("Hello")})
	if err != nil {
		return said{}, err
	}
	defer stream.Close()
	var all []*einoschema.Message
	if err := receive(stream.Recv, func(chunk *einoschema.Message) error {
		all = append(all, chunk)
		return nil
	}); err != nil {
		return said{}, err
	}
	whole, err := einoschema.ConcatMessages(all)
	if err != nil {
		return said{}, err
	}
	got := said{texts: []string{whole.Content}, reasoning: whole.ReasoningContent, finish: whole.ResponseMeta.FinishReason}
	for _, t := range whole.ToolCalls {
		got.calls = append(got.calls, call{t.Function.Name, t.Function.Arguments})
	}
	return got, nil
}

func einoFailure(err error) failure {
	var refused *einoopenai.APIError
	if errors.As(err, &refused) {
		code, _ := refused.Code.(string)
		return failure{refused.HTTPStatusCode, refused.Message, code, refused.Type}
	}
	return errorObject(err.Error())
}

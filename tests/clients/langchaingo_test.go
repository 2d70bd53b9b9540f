package clients

import (
	"context"
	"net/http"
	"regexp"
	"strconv"

	"github.com/tmc/langchaingo/httputil"
	"github.com/tmc/langchaingo/llms"
	langchainopenai "github.com/tmc/langchaingo/llms/openai"
)

// langChainGo is LangChain for Go with the models of OpenAI.
var langChainGo = []client{
	{name: "langchaingo", api: chat, stream: langChainGoChat, explain: langChainGoFailure, variants: []string{plain, tools}, hides: langChainGoHides},
	{name: "langchaingo-bare", api: chat, stream: langChainGoBare, explain: langChainGoFailure, variants: []string{plain, tools}, hides: langChainGoHides},
}

// The SDK does not read an error event, and notices that the connection is cut.
var langChainGoHides = hides{id: true, tokens: true, message: true, kind: true, code: true, leaving: true}

// langChainGoChat asks with the SDK's transport, which says its name.
func langChainGoChat(ctx context.Context, via *http.Client, base, question string) (said, error) {
	return langChainGoBare(ctx, &http.Client{Transport: &httputil.Transport{Transport: via.Transport}}, base, question)
}

func langChainGoBare(ctx context.Context, via *http.Client, base, question string) (said, error) {
	var asked struct {
		Model string      `json:"model"`
		Tools []llms.Tool `json:"tools"`
	}
	into(question, &asked)
	model, err := langchainopenai.New(langchainopenai.WithToken("none"), langchainopenai.WithModel(asked.Model), langchainopenai.WithBaseURL(base+"/v1"), langchainopenai.WithHTTPClient(via))
	if err != nil {
		return said{}, err
	}
	answer, err := model.GenerateContent(ctx,
		[]llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "Hello")},
		llms.WithTools(asked.Tools),
		llms.WithStreamingFunc(func(context.Context, []byte) error { return nil }),
	)
	if err != nil {
		return said{}, err
	}
	var got said
	for _, choice := range answer.Choices {
		got.texts = append(got.texts, choice.Content)
		got.reasoning, got.finish = choice.ReasoningContent, choice.StopReason
		for _, t := range choice.ToolCalls {
			got.calls = append(got.calls, call{t.FunctionCall.Name, t.FunctionCall.Arguments})
		}
	}
	return got, nil
}

// The SDK has the status in the text of its errors.
var langChainGoStatus = regexp.MustCompile(`unexpected status code: (\d+)`)

func langChainGoFailure(err error) failure {
	f := failure{message: err.Error()}
	if m := langChainGoStatus.FindStringSubmatch(f.message); m != nil {
		f.status, _ = strconv.Atoi(m[1])
	}
	return f
}

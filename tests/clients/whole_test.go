package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	anthropicparam "github.com/anthropics/anthropic-sdk-go/packages/param"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// TestWithoutStream: a request that does not ask for a stream is held, and gets
// the model's answer or error as they are.
func TestWithoutStream(t *testing.T) {
	for _, sdk := range []client{
		{name: "openai-go-v3", api: chat, explain: openAIv3Failure, stream: func(ctx context.Context, via *http.Client, base, question string) (said, error) {
			sdk := newOpenAIv3(via, base)
			answer, err := sdk.Chat.Completions.New(ctx, param.Override[openai.ChatCompletionNewParams](json.RawMessage(question)))
			if err != nil {
				return said{}, err
			}
			return chatSaid(answer.RawJSON(), ""), nil
		}},
		{name: "anthropic-sdk-go", api: messages, explain: anthropicFailure, stream: func(ctx context.Context, via *http.Client, base, question string) (said, error) {
			sdk := anthropic.NewClient(anthropicoption.WithBaseURL(base), anthropicoption.WithAPIKey("none"), anthropicoption.WithHTTPClient(via), anthropicoption.WithMaxRetries(0))
			answer, err := sdk.Messages.New(ctx, anthropicparam.Override[anthropic.MessageNewParams](json.RawMessage(question)))
			if err != nil {
				return said{}, err
			}
			return said{id: answer.ID, texts: []string{answer.Content[0].Text}, finish: string(answer.StopReason), tokens: answer.Usage.OutputTokens}, nil
		}},
	} {
		for _, o := range []outcome{
			{name: "answer", route: content, run: func(t *testing.T, c testCase) {
				got, err := c.askCold(t, c.sleep(t))
				if err != nil {
					t.Fatal(err)
				}
				c.check(t, got, c.api.wants(plain))
			}},
			{name: "error", model: "-503", route: content, run: refused(http.StatusServiceUnavailable, "simulated failure 503")},
			{name: "timeout", route: impatient, load: "1h", run: refused(http.StatusGatewayTimeout, expired)},
		} {
			t.Run(fmt.Sprintf("%s/%s", sdk.name, o.name), func(t *testing.T) {
				t.Parallel()
				defer work()()
				// Usage is what every whole answer has.
				o.run(t, testCase{client: sdk, outcome: o, variant: usage})
			})
		}
	}
}

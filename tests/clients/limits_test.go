package clients

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"google.golang.org/genai"
)

// limited asks for a stream with a limit of the SDK's, and reads it to its end.
type limited func(ctx context.Context, via *http.Client, base string, limit time.Duration) error

// TestLimits: the limits that the SDKs themselves have go on after the response has begun,
// so that no keepalive helps. docs/llm-serving.md has their defaults.
func TestLimits(t *testing.T) {
	for name, ask := range map[string]limited{
		"http.Client": func(ctx context.Context, via *http.Client, base string, limit time.Duration) error {
			via.Timeout = limit
			_, err := goOpenAIChat(ctx, via, base, `{"model":"sim","messages":[{"role":"user","content":"Hello"}]}`)
			return err
		},
		"openai-go": func(ctx context.Context, via *http.Client, base string, limit time.Duration) error {
			sdk := newOpenAIv3(via, base)
			stream := sdk.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
				Model: "sim", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
			}, option.WithRequestTimeout(limit))
			for stream.Next() {
			}
			return stream.Err()
		},
		"anthropic-sdk-go": func(ctx context.Context, via *http.Client, base string, limit time.Duration) error {
			sdk := anthropic.NewClient(anthropicoption.WithBaseURL(base), anthropicoption.WithAPIKey("none"), anthropicoption.WithHTTPClient(via), anthropicoption.WithMaxRetries(0))
			stream := sdk.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
				Model: "sim", MaxTokens: 100, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
			}, anthropicoption.WithRequestTimeout(limit))
			for stream.Next() {
			}
			return stream.Err()
		},
		"genai": func(ctx context.Context, via *http.Client, base string, limit time.Duration) error {
			sdk, err := newGenAI(ctx, via, base)
			if err != nil {
				return err
			}
			for _, err := range sdk.Models.GenerateContentStream(ctx, "sim", genai.Text("Hello"), &genai.GenerateContentConfig{HTTPOptions: &genai.HTTPOptions{Timeout: &limit}}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			base := sleepingApp(t, app{spec: content, command: []string{standalone.modelsim, "-load=1h"}})
			var begun atomic.Bool
			for limit := 500 * time.Millisecond; !begun.Load(); limit *= 2 {
				// A machine may be too busy for so short a limit.
				trip := &roundTrip{begun: func() { begun.Store(true) }}
				if err := ask(ctx, &http.Client{Transport: trip}, base, limit); err == nil || ctx.Err() != nil {
					t.Fatalf("the stream outlives its limit: %v", err)
				}
			}
		})
	}
}

package clients

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func newOpenAI(baseURL string) openai.Client {
	return openai.NewClient(option.WithBaseURL(baseURL), option.WithAPIKey("none"),
		option.WithHTTPClient(standalone.client), option.WithMaxRetries(0))
}

func question(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
	}
}

// chat streams a request through the SDK's own accumulator.
func chat(t *testing.T, client openai.Client, params openai.ChatCompletionNewParams) (openai.ChatCompletionAccumulator, time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	var first time.Duration
	stream := client.Chat.Completions.NewStreaming(ctx, params)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if first == 0 {
			first = time.Since(start)
		}
		if !acc.AddChunk(stream.Current()) {
			t.Errorf("the accumulator dropped a chunk: %s", stream.Current().RawJSON())
		}
	}
	return acc, first, stream.Err()
}

// warmAnswer is what the model says to the same question when it is awake.
func warmAnswer(t *testing.T, client openai.Client, params openai.ChatCompletionNewParams) openai.ChatCompletionAccumulator {
	t.Helper()
	acc, _, err := chat(t, client, params)
	if err != nil || len(acc.Choices) == 0 {
		t.Fatalf("asking the model while it is awake: %v, %+v", err, acc)
	}
	return acc
}

func TestOpenAIPlain(t *testing.T) {
	client := newOpenAI(sleepingModel(t, visible))
	cold, first, err := chat(t, client, question("simulated"))
	if err != nil {
		t.Fatalf("a cold request: %v", err)
	}
	if first > 300*time.Millisecond {
		t.Errorf("the first event took %s", first)
	}
	warm := warmAnswer(t, client, question("simulated"))
	if len(cold.Choices) != 1 {
		t.Fatalf("choices: %+v", cold.Choices)
	}
	waiting, answer, parted := strings.Cut(cold.Choices[0].Message.Content, "\n\n---\n\n")
	if !parted || !strings.HasPrefix(waiting, "Waking the model.") {
		t.Errorf("the user reads the message before the answer: %q", cold.Choices[0].Message.Content)
	}
	if answer != warm.Choices[0].Message.Content {
		t.Errorf("the answer: got %q, want %q", answer, warm.Choices[0].Message.Content)
	}
	if cold.ID == "" || cold.Choices[0].FinishReason != "stop" {
		t.Errorf("id %q and finish reason %q are the model's", cold.ID, cold.Choices[0].FinishReason)
	}
}

func TestOpenAIInvisible(t *testing.T) {
	tools := question("simulated")
	tools.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "weather", Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{}},
	})}
	structured := question("simulated")
	structured.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONObject: &shared.ResponseFormatJSONObjectParam{}}
	several := question("simulated")
	several.N = openai.Int(2)
	usage := question("simulated")
	usage.StreamOptions.IncludeUsage = openai.Bool(true)
	none := `coldStart: {streamingCallback: {display: None, interval: 100ms}}`
	for _, c := range []struct {
		name, spec string
		params     openai.ChatCompletionNewParams
	}{
		{"tools", visible, tools}, {"structured", visible, structured}, {"several", visible, several}, {"none", none, usage},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newOpenAI(sleepingModel(t, c.spec))
			cold, _, err := chat(t, client, c.params)
			if err != nil {
				t.Fatalf("a cold request: %v", err)
			}
			warm := warmAnswer(t, client, c.params)
			if len(cold.Choices) != len(warm.Choices) {
				t.Fatalf("choices: got %d, want %d", len(cold.Choices), len(warm.Choices))
			}
			for i := range warm.Choices {
				got, want := cold.Choices[i], warm.Choices[i]
				if got.Message.Content != want.Message.Content || got.FinishReason != want.FinishReason || len(got.Message.ToolCalls) != len(want.Message.ToolCalls) {
					t.Errorf("choice %d: got %+v, want %+v", i, got, want)
				}
				for j := range want.Message.ToolCalls {
					if got.Message.ToolCalls[j].Function.Name != want.Message.ToolCalls[j].Function.Name || got.Message.ToolCalls[j].Function.Arguments != want.Message.ToolCalls[j].Function.Arguments {
						t.Errorf("tool call %d: got %+v, want %+v", j, got.Message.ToolCalls[j], want.Message.ToolCalls[j])
					}
				}
			}
			if cold.Usage.TotalTokens != warm.Usage.TotalTokens {
				t.Errorf("usage: got %d, want %d", cold.Usage.TotalTokens, warm.Usage.TotalTokens)
			}
		})
	}
}

func TestOpenAIBackendError(t *testing.T) {
	for _, spec := range []struct{ name, spec string }{{"visible", visible}, {"none", `coldStart: {streamingCallback: {display: None, interval: 100ms}}`}} {
		t.Run(spec.name, func(t *testing.T) {
			client := newOpenAI(sleepingModel(t, spec.spec))
			_, _, err := chat(t, client, question("fail-429"))
			if err == nil || !strings.Contains(err.Error(), "429") {
				t.Errorf("the SDK reports the backend's error: %v", err)
			}
		})
	}
}

func TestOpenAITimeout(t *testing.T) {
	client := newOpenAI(sleepingModel(t, "timeouts: {readiness: 300ms}\n  "+visible, "-load=1h"))
	_, _, err := chat(t, client, question("simulated"))
	if err == nil || !strings.Contains(err.Error(), "504") {
		t.Errorf("the SDK reports that the wait is over: %v", err)
	}
}

func TestOpenAIWithoutStreamIsHeld(t *testing.T) {
	client := newOpenAI(sleepingModel(t, visible))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := client.Chat.Completions.New(ctx, question("simulated"))
	if err != nil || len(answer.Choices) != 1 || answer.Choices[0].Message.Content == "" {
		t.Errorf("a request that does not stream is held and answered: %v, %+v", err, answer)
	}
}

func TestOpenAIOverTheCapIsTheSDKsError(t *testing.T) {
	url := sleepingModel(t, `coldStart: {maxPendingRequests: 1, streamingCallback: {message: "Waking.", interval: 100ms}}`, "-load=1h")
	client := newOpenAI(url)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first := client.Chat.Completions.NewStreaming(ctx, question("simulated"))
	defer first.Close()
	if !first.Next() {
		t.Fatalf("the first request is on the line: %v", first.Err())
	}
	_, _, err := chat(t, client, question("simulated"))
	var failure *openai.Error
	if !errors.As(err, &failure) || failure.StatusCode != 503 || failure.Message == "" {
		t.Errorf("the second request fails as the API fails: %v", err)
	}
}

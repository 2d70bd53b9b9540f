package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"google.golang.org/genai"
)

// genAI is Google's SDK for Gemini.
var genAI = []client{{name: "genai", api: gemini, stream: genAIContent, explain: genAIFailure, hides: hides{id: true}}}

func newGenAI(ctx context.Context, via *http.Client, base string) (*genai.Client, error) {
	return genai.NewClient(ctx, &genai.ClientConfig{APIKey: "none", Backend: genai.BackendGeminiAPI, HTTPClient: via, HTTPOptions: genai.HTTPOptions{BaseURL: base}})
}

func genAIContent(ctx context.Context, via *http.Client, base, question string) (said, error) {
	var asked struct {
		Model    string           `json:"model"`
		Contents []*genai.Content `json:"contents"`
		Tools    []*genai.Tool    `json:"tools"`
	}
	into(question, &asked)
	sdk, err := newGenAI(ctx, via, base)
	if err != nil {
		return said{}, err
	}
	var got said
	for chunk, err := range sdk.Models.GenerateContentStream(ctx, asked.Model, asked.Contents, &genai.GenerateContentConfig{Tools: asked.Tools}) {
		if err != nil {
			return said{}, err
		}
		if chunk.UsageMetadata != nil {
			got.tokens = int64(chunk.UsageMetadata.TotalTokenCount)
		}
		for _, candidate := range chunk.Candidates {
			got.finish = string(candidate.FinishReason)
			for _, part := range candidate.Content.Parts {
				*got.text(int(candidate.Index)) += part.Text
				if part.FunctionCall != nil {
					args, err := json.Marshal(part.FunctionCall.Args)
					if err != nil {
						return said{}, err
					}
					got.calls = append(got.calls, call{part.FunctionCall.Name, string(args)})
				}
			}
		}
	}
	return got, nil
}

func genAIFailure(err error) failure {
	var refused genai.APIError
	if errors.As(err, &refused) {
		return failure{status: refused.Code, message: refused.Message}
	}
	return failure{message: err.Error()}
}

// TestGenAIChatRemembers: a chat remembers its earlier messages, also if it had to wait.
func TestGenAIChatRemembers(t *testing.T) {
	t.Parallel()
	defer work()()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sdk, err := newGenAI(ctx, standalone.client, sleepingApp(t, app{spec: content, command: []string{standalone.modelsim, "-tokens-per-second=0", "-load=500ms"}}))
	if err != nil {
		t.Fatal(err)
	}
	chat, err := sdk.Chats.Create(ctx, "sim", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, err := range chat.SendMessageStream(ctx, genai.Part{Text: "Hello"}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, curated := range []bool{false, true} {
		turns := map[string]string{}
		for _, c := range chat.History(curated) {
			for _, part := range c.Parts {
				turns[c.Role] += part.Text
			}
		}
		if turns[genai.RoleUser] != "HelloHello" || turns[genai.RoleModel] != answer+answer {
			t.Errorf("curated %t: the chat remembers %q", curated, turns)
		}
	}
}

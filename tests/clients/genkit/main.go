// Command genkit asks a model one question by way of Genkit and prints the answer as JSON. It is
// a separate program, because Genkit cannot be built with the version of
// github.com/invopop/jsonschema that Anthropic's SDK needs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/genkit"
	"github.com/firebase/genkit/go/plugins/compat_oai"
	"github.com/openai/openai-go/option"
)

type call struct {
	Name string `json:"name"`
	Args string `json:"args"`
}

type answer struct {
	Text  string `json:"text"`
	Calls []call `json:"calls"`
}

// place is what the tool is called with.
type place struct {
	City string `json:"city"`
}

func main() {
	got, err := ask(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(got)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ask asks a question, given as the JSON of OpenAI's API, below a base URL.
func ask(base, question string) (answer, error) {
	var asked struct {
		Model string `json:"model"`
		Tools []any  `json:"tools"`
	}
	if err := json.Unmarshal([]byte(question), &asked); err != nil {
		return answer{}, err
	}
	ctx := context.Background()
	plugin := &compat_oai.OpenAICompatible{Provider: "sim", APIKey: "none", BaseURL: base, Opts: []option.RequestOption{option.WithMaxRetries(0)}}
	g := genkit.Init(ctx, genkit.WithPlugins(plugin))
	options := []ai.GenerateOption{
		ai.WithModel(plugin.DefineModel("sim", asked.Model, ai.ModelOptions{Supports: &compat_oai.BasicText})),
		ai.WithPrompt("Hello"),
		ai.WithStreaming(func(context.Context, *ai.ModelResponseChunk) error { return nil }),
	}
	if asked.Tools != nil {
		tool := genkit.DefineTool(g, "weather", "The weather of a city", func(*ai.ToolContext, place) (string, error) { return "", nil })
		options = append(options, ai.WithTools(tool), ai.WithReturnToolRequests(true))
	}
	response, err := genkit.Generate(ctx, g, options...)
	if err != nil {
		return answer{}, err
	}
	got := answer{Text: response.Text()}
	for _, request := range response.ToolRequests() {
		args, err := json.Marshal(request.Input)
		if err != nil {
			return answer{}, err
		}
		got.Calls = append(got.Calls, call{request.Name, string(args)})
	}
	return got, nil
}

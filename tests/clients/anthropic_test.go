package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/packages/param"
)

// anthropicGo is Anthropic's SDK.
var anthropicGo = []client{{name: "anthropic-sdk-go", api: messages, stream: anthropicMessages, explain: anthropicFailure}}

func anthropicMessages(ctx context.Context, via *http.Client, base, question string) (said, error) {
	sdk := anthropic.NewClient(option.WithBaseURL(base), option.WithAPIKey("none"), option.WithHTTPClient(via), option.WithMaxRetries(0))
	stream := sdk.Messages.NewStreaming(ctx, param.Override[anthropic.MessageNewParams](json.RawMessage(question)))
	defer stream.Close()
	var all anthropic.Message
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			return said{}, err
		}
	}
	got := said{id: all.ID, finish: string(all.StopReason), tokens: all.Usage.OutputTokens}
	for _, block := range all.Content {
		*got.text(0) += block.Text
		if block.Type == "tool_use" {
			got.calls = append(got.calls, call{block.Name, string(block.Input)})
		}
	}
	return got, stream.Err()
}

func anthropicFailure(err error) failure {
	var refused *anthropic.Error
	if errors.As(err, &refused) {
		f := errorObject(refused.RawJSON())
		f.status = refused.StatusCode
		return f
	}
	return errorObject(err.Error())
}

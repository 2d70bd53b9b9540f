package clients

import (
	"encoding/json"
	"strings"
)

// The SDKs have different types for the same objects. All of them marshal to the JSON of the API,
// so the tests read their content from there.

// into reads one SDK's value, or the JSON of one, into one of our types.
func into(value, to any) {
	data, ok := value.(string)
	if !ok {
		encoded, err := json.Marshal(value)
		if err != nil {
			return
		}
		data = string(encoded)
	}
	// A test that finds nothing of what it looks for fails.
	_ = json.Unmarshal([]byte(data), to)
}

// reasoningOf returns the reasoning of a chunk, which is not a member of OpenAI's.
func reasoningOf(chunk string) string {
	var c struct {
		Choices []struct {
			Delta struct {
				Reasoning string `json:"reasoning_content"`
			} `json:"delta"`
		} `json:"choices"`
	}
	into(chunk, &c)
	var reasoning strings.Builder
	for _, choice := range c.Choices {
		reasoning.WriteString(choice.Delta.Reasoning)
	}
	return reasoning.String()
}

// chatSaid reads a chat completion that an SDK has accumulated.
func chatSaid(completion any, reasoning string) said {
	var c struct {
		ID      string `json:"id"`
		Choices []struct {
			Message struct {
				Content   string `json:"content"`
				ToolCalls []struct {
					Function struct {
						Name      string `json:"name"`
						Arguments string `json:"arguments"`
					} `json:"function"`
				} `json:"tool_calls"`
			} `json:"message"`
			Finish string `json:"finish_reason"`
		} `json:"choices"`
		Usage struct {
			Total int64 `json:"total_tokens"`
		} `json:"usage"`
	}
	into(completion, &c)
	got := said{id: c.ID, reasoning: reasoning, tokens: c.Usage.Total}
	for _, choice := range c.Choices {
		got.texts = append(got.texts, choice.Message.Content)
		got.finish = choice.Finish
		for _, t := range choice.Message.ToolCalls {
			got.calls = append(got.calls, call{t.Function.Name, t.Function.Arguments})
		}
	}
	return got
}

// text is the text of a choice, which grows.
func (s *said) text(choice int) *string {
	for len(s.texts) <= choice {
		s.texts = append(s.texts, "")
	}
	return &s.texts[choice]
}

// addCompletion adds a chunk of a completion, which no SDK accumulates.
func (s *said) addCompletion(chunk any) {
	var c struct {
		ID      string `json:"id"`
		Choices []struct {
			Index  int    `json:"index"`
			Text   string `json:"text"`
			Finish string `json:"finish_reason"`
		} `json:"choices"`
		Usage struct {
			Total int64 `json:"total_tokens"`
		} `json:"usage"`
	}
	into(chunk, &c)
	s.id = c.ID
	for _, choice := range c.Choices {
		*s.text(choice.Index) += choice.Text
		s.finish = choice.Finish
	}
	s.tokens += c.Usage.Total
}

// addResponseEvent adds an event of a response. Its last one has all; deltas
// count only until then.
func (s *said) addResponseEvent(event any) {
	var e struct {
		Type     string          `json:"type"`
		Delta    json.RawMessage `json:"delta"`
		Response struct {
			ID     string `json:"id"`
			Status string `json:"status"`
			Output []struct {
				Type    string `json:"type"`
				Content []struct {
					Text string `json:"text"`
				} `json:"content"`
				Name      string `json:"name"`
				Arguments string `json:"arguments"`
			} `json:"output"`
			Usage struct {
				Total int64 `json:"total_tokens"`
			} `json:"usage"`
		} `json:"response"`
	}
	into(event, &e)
	switch e.Type {
	case "response.output_text.delta":
		var delta string
		into(string(e.Delta), &delta)
		*s.text(0) += delta
	case "response.completed":
		streamed := *s.text(0)
		s.id, s.finish, s.tokens = e.Response.ID, e.Response.Status, e.Response.Usage.Total
		for _, item := range e.Response.Output {
			if item.Type == "function_call" {
				s.calls = append(s.calls, call{item.Name, item.Arguments})
			}
			for _, part := range item.Content {
				if part.Text != streamed {
					s.texts[0] = "streamed: " + streamed + ", in the end: " + part.Text
				}
			}
		}
	}
}

// addChunk adds a chunk of a chat, where the SDK does not accumulate.
func (s *said) addChunk(chunk any) {
	var e struct {
		ID      string `json:"id"`
		Choices []struct {
			Index int `json:"index"`
			Delta struct {
				Content   string `json:"content"`
				ToolCalls []struct {
					Function struct {
						Name      string `json:"name"`
						Arguments string `json:"arguments"`
					} `json:"function"`
				} `json:"tool_calls"`
			} `json:"delta"`
			Finish string `json:"finish_reason"`
		} `json:"choices"`
		Usage struct {
			Total int64 `json:"total_tokens"`
		} `json:"usage"`
	}
	into(chunk, &e)
	s.id = e.ID
	for _, choice := range e.Choices {
		*s.text(choice.Index) += choice.Delta.Content
		s.finish = choice.Finish
		for _, t := range choice.Delta.ToolCalls {
			if t.Function.Name != "" {
				s.calls = append(s.calls, call{name: t.Function.Name})
			}
			s.calls[len(s.calls)-1].args += t.Function.Arguments
		}
	}
	s.tokens += e.Usage.Total
}

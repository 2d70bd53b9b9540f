package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// answer is what the model says: one or several choices.
type answer struct {
	id      string
	created int64
	prompt  int // tokens of the question
	choices []choice
}

// choice is a text, or the call of a tool.
type choice struct {
	text string
	call string // name of the tool
	args string
}

func (a answer) tokens() int {
	n := 0
	for _, c := range a.choices {
		n += len(tokens(c.text + c.args))
	}
	return n
}

// answerTo is the same for the same question: JSON if that is asked for, a
// call of the first tool if there are tools, else a sentence.
func answerTo(req request, f shape) answer {
	question := f.question(req)
	a := answer{prompt: len(tokens(question))}
	for i := range max(req.N, 1) {
		switch {
		case len(req.Tools) > 0 && req.ToolChoice != "none":
			a.choices = append(a.choices, choice{call: req.Tools[0].Function.Name, args: `{"city":"Berlin","unit":"celsius"}`})
		case req.Format.Type == "json_object" || req.Format.Type == "json_schema":
			a.choices = append(a.choices, choice{text: `{"answer":"Berlin","confidence":1}`})
		default:
			a.choices = append(a.choices, choice{text: sentence(question, i)})
		}
	}
	return a
}

func sentence(question string, choice int) string {
	text := fmt.Sprintf("You said: %q. This is a simulated model; it was asleep, you asked, and now it answers, token by token.", question)
	if question == "" {
		text = "Hello! This is a simulated model; it was asleep, you asked, and now it answers, token by token."
	}
	if choice > 0 {
		text += fmt.Sprintf(" (choice %d)", choice+1)
	}
	return text
}

// tokens cuts a text after its spaces.
func tokens(text string) []string {
	if text == "" {
		return nil
	}
	return strings.SplitAfter(text, " ")
}

// plain is the text of a message's content: a string, or the text parts of a list.
func plain(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &parts) // anything else has no text
	for _, part := range parts {
		text += part.Text
	}
	return text
}

// firstPrompt is the prompt of a completion: a string or the first of a list.
func firstPrompt(prompt json.RawMessage) string {
	var text string
	if json.Unmarshal(prompt, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(prompt, &list) == nil && len(list) > 0 {
		return list[0]
	}
	return ""
}

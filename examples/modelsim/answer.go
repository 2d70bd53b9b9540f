package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// answer is what the model says: one or several choices.
type answer struct {
	created time.Time
	prompt  int // tokens of the question
	choices []choice
}

// choice is a text, or the call of a tool.
type choice struct {
	text string
	call string          // name of the tool; empty means no call
	args json.RawMessage // a JSON object
}

// tokens of all choices.
func (a answer) tokens() int {
	n := 0
	for _, c := range a.choices {
		n += len(c.pieces())
	}
	return n
}

// pieces are the parts in which a choice is streamed.
func (c choice) pieces() []string {
	if c.call != "" {
		middle := len(c.args) / 2
		return []string{string(c.args[:middle]), string(c.args[middle:])}
	}
	return tokens(c.text)
}

// answerTo returns the same answer to the same question. It calls a tool if there are tools, and
// returns JSON if the question asks for that. Otherwise it returns a sentence.
func answerTo(q question) answer {
	a := answer{created: time.Now().UTC(), prompt: max(len(tokens(q.text)), 1)}
	for i := range max(q.n, 1) {
		switch {
		case q.tool != nil:
			a.choices = append(a.choices, choice{call: q.tool.Name, args: encode(example(q.tool.Parameters))})
		case q.schema != nil:
			a.choices = append(a.choices, choice{text: string(encode(example(q.schema)))})
		default:
			a.choices = append(a.choices, choice{text: sentence(q.text, i)})
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

// encode renders documents of our own making, which always marshal.
func encode(document any) json.RawMessage {
	data, err := json.Marshal(document)
	if err != nil {
		return json.RawMessage("{}")
	}
	return data
}

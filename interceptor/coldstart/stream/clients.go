package stream

import (
	"net/http"
	"strings"
)

// need is a set of things in which a client differs from what its dialect says.
type need uint8

const (
	// dataOnly sends data events in place of comments.
	dataOnly need = 1 << iota
	// commentsOnly sends no data events.
	commentsOnly
	// noParts sends chunks without parts.
	noParts
	// comments sends comments in place of data events, each with a blank line.
	comments
	// abortAfterFailure aborts the connection behind the failure event.
	abortAfterFailure
)

// client is a library that is recognized by its headers, and by its body where they say
// too little.
type client struct {
	name, version string // the version that was measured
	dialect       *Dialect
	headers       []header
	usage         bool // the body asks for the counts of tokens
	needs         need
	reason        string
}

// header matches the first value of a header: one that contains value, or equals it. An absent
// header has the empty value.
type header struct {
	name, value string
	whole       bool
}

// clients are all exceptions from the dialects.
var clients = []client{
	{
		name: "go-openai", version: "1.43", dialect: &openAIChat, needs: dataOnly,
		headers: []header{{"User-Agent", "Go-http-client/", false}, {"Accept", eventStream, true}, {"Cache-Control", "no-cache", true}},
		reason:  "it takes a comment for the beginning of an error and then loses the real one (ADR 8)",
	},
	{
		name: "langchaingo", version: "0.1.14", dialect: &openAIChat, needs: abortAfterFailure,
		headers: []header{{"User-Agent", "langchaingo/", false}},
		reason:  "it ignores events that it does not know, so that the end of the stream completes the answer",
	},
	{
		name: "langchaingo with an http.Client of its user's", version: "0.1.14", dialect: &openAIChat, needs: abortAfterFailure,
		headers: []header{{"User-Agent", "Go-http-client/", false}, {"Accept", "", true}}, usage: true,
		reason: "the same, and its headers are those of any Go program",
	},
	{
		name: "openai-node", version: "7.3", dialect: &openAIResponses, needs: commentsOnly,
		headers: []header{{"X-Stainless-Lang", "js", true}},
		reason:  "its helper refuses a response whose id changes, and every other event before response.created",
	},
	{
		name: "@google/generative-ai", version: "0.24", dialect: &gemini, needs: noParts,
		headers: []header{{"X-Goog-Api-Client", "genai-js/", false}},
		reason:  "an empty text part wipes the history of its ChatSession; newer SDKs lose theirs without one",
	},
	{
		name: "@google/genai", version: "3.3", dialect: &gemini, needs: comments,
		headers: []header{{"X-Goog-Api-Client", "google-genai-sdk/", false}, {"X-Goog-Api-Client", "gl-node/", false}},
		reason:  "its chats keep each chunk as a turn of the model, and send all of them with the next message",
	},
}

// needsOf returns what the client of a request needs.
func needsOf(r *http.Request, d *Dialect, f *facts) (all need) {
	for i := range clients {
		if c := &clients[i]; c.dialect == d && (f.usage || !c.usage) && c.sent(r) {
			all |= c.needs
		}
	}
	return all
}

// sent reports whether the client looks like the one that sent r.
func (c *client) sent(r *http.Request) bool {
	for _, h := range c.headers {
		value := r.Header.Get(h.name)
		if h.whole && value != h.value || !strings.Contains(value, h.value) {
			return false
		}
	}
	return true
}

package main

import (
	"encoding/json"
	"net/http"
	"strings"
)

// gemini is POST /v1beta/models/MODEL:generateContent and
// :streamGenerateContent?alt=sse.
type gemini struct{}

func (gemini) read(r *http.Request, body []byte) (question, error) {
	var b struct {
		Contents []struct {
			Role  string `json:"role"`
			Parts []struct {
				Text             string          `json:"text"`
				FunctionResponse json.RawMessage `json:"functionResponse"`
			} `json:"parts"`
		} `json:"contents"`
		Tools []struct {
			Functions []struct {
				tool
				Schema json.RawMessage `json:"parametersJsonSchema"`
			} `json:"functionDeclarations"`
		} `json:"tools"`
		ToolConfig struct {
			Calling struct {
				Mode    string   `json:"mode"`
				Allowed []string `json:"allowedFunctionNames"`
			} `json:"functionCallingConfig"`
		} `json:"toolConfig"`
		Config struct {
			Candidates int             `json:"candidateCount"`
			MimeType   string          `json:"responseMimeType"`
			Schema     json.RawMessage `json:"responseSchema"`
			JSONSchema json.RawMessage `json:"responseJsonSchema"`
		} `json:"generationConfig"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return question{}, err
	}
	model, method, _ := strings.Cut(r.PathValue("call"), ":")
	q := question{model: model, n: b.Config.Candidates, stream: method == "streamGenerateContent" && r.URL.Query().Get("alt") == "sse"}
	answered := false // the tool has been called
	for _, content := range b.Contents {
		for _, part := range content.Parts {
			if answered = part.FunctionResponse != nil; !answered && content.Role != "model" {
				q.text = part.Text
			}
		}
	}
	var tools []tool
	for _, t := range b.Tools {
		for _, f := range t.Functions {
			if f.Schema != nil {
				f.Parameters = f.Schema
			}
			tools = append(tools, f.tool)
		}
	}
	calling := b.ToolConfig.Calling
	if calling.Mode != "NONE" && !answered {
		q.tool = chosen(tools, strings.Join(calling.Allowed[:min(1, len(calling.Allowed))], ""))
	}
	if b.Config.MimeType == "application/json" {
		if b.Config.JSONSchema != nil {
			b.Config.Schema = b.Config.JSONSchema
		}
		q.schema = orAnything(b.Config.Schema)
	}
	return q, nil
}

// part of an answer: one candidate with one part. The last one says so and
// counts.
func (gemini) part(q question, a answer, last bool, candidates ...any) object {
	part := object{"candidates": candidates, "modelVersion": q.model, "responseId": q.id}
	if last {
		n := a.tokens()
		part["usageMetadata"] = object{"promptTokenCount": a.prompt, "candidatesTokenCount": n, "totalTokenCount": a.prompt + n}
	}
	return part
}

func (gemini) candidate(index int, part object, last bool) object {
	candidate := object{"index": index, "content": object{"role": "model", "parts": []any{part}}}
	if last {
		candidate["finishReason"] = "STOP"
	}
	return candidate
}

func (gemini) content(c choice) object {
	if c.call != "" {
		return object{"functionCall": object{"name": c.call, "args": c.args}}
	}
	return object{"text": c.text}
}

func (f gemini) whole(q question, a answer) any {
	var candidates []any
	for i, c := range a.choices {
		candidates = append(candidates, f.candidate(i, f.content(c), true))
	}
	return f.part(q, a, true, candidates...)
}

func (f gemini) events(q question, a answer) []event {
	var events []event
	for i, c := range a.choices {
		parts := []object{f.content(c)}
		if c.call == "" {
			parts = nil
			for _, token := range c.pieces() {
				parts = append(parts, object{"text": token})
			}
		}
		for j, part := range parts {
			last := j == len(parts)-1
			events = append(events, event{data: f.part(q, a, last && i == len(a.choices)-1, f.candidate(i, part, last))})
		}
	}
	return events
}

func (gemini) problem(status int, message string) any {
	names := map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
		429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
	}
	name, ok := names[status]
	if !ok {
		name = "UNKNOWN"
	}
	return object{"error": object{"code": status, "message": message, "status": name}}
}

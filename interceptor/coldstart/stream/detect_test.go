package stream

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// anyChat stands for a path of no known API.
var anyChat = &Dialect{}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		reason, method, target string
		header                 http.Header
		want                   *Dialect
	}{
		{"chat", "POST", "/v1/chat/completions", nil, &openAIChat},
		{"chat below any prefix, with a query", "POST", "/openai/deployments/x/chat/completions?api-version=1", nil, &openAIChat},
		{"completions", "POST", "/v1/completions", nil, &openAICompletions},
		{"responses", "POST", "/v1/responses", nil, &openAIResponses},
		{"anthropic", "POST", "/v1/messages", nil, &anthropic},
		{"ollama chat", "POST", "/api/chat", nil, &ollamaChat},
		{"ollama generate", "POST", "/api/generate", nil, &ollamaGenerate},
		{"gemini", "POST", "/v1beta/models/g:streamGenerateContent?alt=sse&key=k", nil, &gemini},
		{"gemini without alt=sse is a JSON list", "POST", "/v1beta/models/g:streamGenerateContent", nil, nil},
		{"any other path", "POST", "/ask", nil, anyChat},
		{"a trailing slash", "POST", "/v1/messages/", nil, &anthropic},
		{"the longest path wins", "POST", "/v1/fim/completions", nil, &eventSource},
		{"a suffix is whole segments", "POST", "/v1/autocompletions", nil, anyChat},
		{"paths are compared with case", "POST", "/v1/Chat/Completions", nil, nil},
		{"events by GET", "GET", "/events", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"events by POST", "POST", "/events", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"an API's path wins over Accept", "POST", "/v1/messages", http.Header{"Accept": {"text/event-stream"}}, &anthropic},
		{"GET on an API's path", "GET", "/v1/responses", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"Accept must be exactly that", "GET", "/events", http.Header{"Accept": {"text/event-stream, */*"}}, nil},
		{"Accept must be one", "GET", "/events", http.Header{"Accept": {"text/event-stream", "text/html"}}, nil},
		{"GET", "GET", "/v1/chat/completions", nil, nil},
		{"HEAD", "HEAD", "/events", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"PUT", "PUT", "/v1/chat/completions", nil, nil},
		{"WebSocket", "GET", "/events", http.Header{"Accept": {"text/event-stream"}, "Upgrade": {"websocket"}}, nil},
		{"any upgrade", "POST", "/v1/chat/completions", http.Header{"Upgrade": {"h2c"}}, nil},
		{"MCP", "POST", "/v1/chat/completions", http.Header{"Mcp-Session-Id": {"1"}}, nil},
		{"MCP, any header of it", "GET", "/mcp", http.Header{"Accept": {"text/event-stream"}, "Mcp-Protocol-Version": {"1"}}, nil},
		{"MCP without a session", "GET", "/v1/mcp/", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"MCP below its path", "GET", "/mcp/v1", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"MCP's older transport", "GET", "/sse", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"MCP's older transport, behind a prefix", "GET", "/gradio_api/mcp/sse/", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"MCP in capitals", "GET", "/MCP", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"MCP in capitals, by POST", "POST", "/Api/MCP", nil, nil},
		{"MCP's older transport in capitals", "GET", "/SSE", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"MCP below its path, in capitals", "GET", "/Mcp/v1", http.Header{"Accept": {"text/event-stream"}}, nil},
		{"an event source with a segment sse", "GET", "/a/sse/b", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"an event source of a like path", "GET", "/essse", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"an event source below that path", "GET", "/sse/news", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"events by POST, which MCP's older transport does not use", "POST", "/sse", http.Header{"Accept": {"text/event-stream"}}, &eventSource},
		{"gRPC", "POST", "/pkg.Service/Method", http.Header{"Content-Type": {"application/grpc"}}, nil},
		{"gRPC, in any coding", "POST", "/pkg.Service/Method", http.Header{"Content-Type": {"Application/gRPC-web+proto"}}, nil},
		{"a compressed body", "POST", "/v1/chat/completions", http.Header{"Content-Encoding": {"gzip"}}, nil},
		{"identity is no compression", "POST", "/v1/chat/completions", http.Header{"Content-Encoding": {"identity"}}, &openAIChat},
		{"same-origin page", "POST", "/v1/chat/completions", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://other.example"}}, &openAIChat},
		{"typed into the browser", "POST", "/v1/chat/completions", http.Header{"Sec-Fetch-Site": {"none"}}, &openAIChat},
		{"same site is another origin", "POST", "/v1/chat/completions", http.Header{"Sec-Fetch-Site": {"same-site"}}, nil},
		{"cross-site page", "POST", "/v1/chat/completions", http.Header{"Sec-Fetch-Site": {"cross-site"}}, nil},
		{"Origin of the host", "POST", "/v1/chat/completions", http.Header{"Origin": {"http://LLM.example:8080"}}, &openAIChat},
		{"Origin of another port", "POST", "/v1/chat/completions", http.Header{"Origin": {"http://llm.example:9090"}}, nil},
		{"Origin of another host", "POST", "/v1/chat/completions", http.Header{"Origin": {"https://ui.example"}}, nil},
		{"opaque origin", "POST", "/v1/chat/completions", http.Header{"Origin": {"null"}}, nil},
		{"an invalid Origin", "POST", "/v1/chat/completions", http.Header{"Origin": {"http://%zz"}}, nil},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var r *http.Request
			if c.method == "POST" {
				r = httptest.NewRequest(c.method, c.target, strings.NewReader("{}"))
			} else {
				r = httptest.NewRequest(c.method, c.target, http.NoBody)
			}
			r.Host = "llm.example:8080"
			for name, values := range c.header {
				r.Header[name] = values
			}
			got := Detect(r)
			var speaks *Dialect
			switch {
			case got == nil:
			case got.rule != nil:
				speaks = got.rule.speaks
			case got.events:
				speaks = &eventSource
			default:
				speaks = anyChat
			}
			if speaks != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// HTTP/1.0 ends every answer by a close: where a failure is a cut, a client would take it for
// the end of an empty stream.
func TestCommentsNeedHTTP11(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		major, minor         int
		want                 bool
	}{
		{"GET", "/events", "", 1, 0, false},
		{"GET", "/events", "", 1, 1, true},
		{"GET", "/events", "", 2, 0, true},
		{"POST", "/events", `{"a":1}`, 1, 0, false},
		{"POST", "/v1/chat/completions", chatBody, 1, 0, true}, // which has an event for a failure
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.ProtoMajor, r.ProtoMinor = c.major, c.minor
		r.Header.Set("Accept", eventStream)
		if _, got := Detect(r).Parse(r, []byte(c.body)); got != c.want {
			t.Errorf("%s %s, HTTP/%d.%d: %v, want %v", c.method, c.target, c.major, c.minor, got, c.want)
		}
	}
}

package clients

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// sleepingMCP returns the URL of the server in node/apps/mcp.js, which sleeps.
func sleepingMCP(t *testing.T, spec, delay string) string {
	t.Helper()
	var command []string
	for _, path := range []string{nodeBinary, "apps/mcp.js"} {
		path, err := filepath.Abs(filepath.Join("node", path))
		if err != nil {
			t.Fatal(err)
		}
		command = append(command, path)
	}
	return sleepingApp(t, app{spec: spec, command: append(command, "delay="+delay)})
}

// connect opens a session of the Model Context Protocol.
func connect(ctx context.Context, transport mcp.Transport) (*mcp.ClientSession, error) {
	return mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, transport, nil)
}

// TestMCP: the requests of the Model Context Protocol are held, and answered as if the
// server had been awake.
func TestMCP(t *testing.T) {
	for name, transport := range map[string]func(base string, via *http.Client) mcp.Transport{
		"stream": func(base string, via *http.Client) mcp.Transport {
			return &mcp.StreamableClientTransport{Endpoint: base + "/mcp", HTTPClient: via, MaxRetries: -1}
		},
		"JSON": func(base string, via *http.Client) mcp.Transport {
			return &mcp.StreamableClientTransport{Endpoint: base + "/json", HTTPClient: via, MaxRetries: -1}
		},
		"older": func(base string, via *http.Client) mcp.Transport {
			return &mcp.SSEClientTransport{Endpoint: base + "/sse", HTTPClient: via}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer work()()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			base := sleepingMCP(t, content, "500")
			session, err := connect(ctx, transport(base, standalone.client))
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "Hello"}})
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != "You said: Hello" {
				t.Errorf("the tool answers %+v", result.Content)
			}
			if got := get(t, base+"/asked"); got != "1" {
				t.Errorf("the tool was called %s times", got)
			}
		})
	}
	for name, test := range map[string]struct{ spec, want string }{
		"timeout":  {impatient, http.StatusText(http.StatusGatewayTimeout)},
		"too many": {alone, http.StatusText(http.StatusServiceUnavailable)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer work()()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			base := sleepingMCP(t, test.spec, "3600000")
			transport := &mcp.StreamableClientTransport{Endpoint: base + "/mcp", HTTPClient: standalone.client, MaxRetries: -1}
			failed := make(chan error, 2)
			var sessions sync.WaitGroup
			for range 2 {
				sessions.Go(func() {
					_, err := connect(ctx, transport)
					failed <- err
				})
			}
			if err := <-failed; err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			cancel()
			sessions.Wait()
		})
	}
}

// TestMCPOlderTransportFails: its stream is held, so that the client reads the real status.
func TestMCPOlderTransportFails(t *testing.T) {
	for name, test := range map[string]struct{ spec, load, want string }{
		"timeout":        {impatient, "-load=1h", "Gateway Timeout"},
		"no such stream": {content, "-load=0s", "Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer work()()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			base := sleepingApp(t, app{spec: test.spec, command: []string{standalone.modelsim, test.load}})
			_, err := connect(ctx, &mcp.SSEClientTransport{Endpoint: base + "/sse", HTTPClient: standalone.client})
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the client says %v", err)
			}
		})
	}
}

// get returns what a backend that is awake says at a URL.
func get(t *testing.T, url string) string {
	t.Helper()
	response, err := standalone.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

package clienterror

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const notReady = "the backend did not become ready in time"

// fail answers a request with a failure and returns the answer and its body.
func fail(t *testing.T, r *http.Request, code int, message string, retryAfter time.Duration) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	w.Header().Set("X-KEDA-HTTP-Cold-Start", "true")
	Write(w, r, &Error{Status: code, Message: message, RetryAfter: retryAfter})
	response := w.Result()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("X-KEDA-HTTP-Cold-Start") != "true" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", response.Header)
	}
	return response, string(body)
}

func request(method, path string, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestFailureHasTheClientsShape(t *testing.T) {
	for name, tc := range map[string]struct {
		reason      string
		request     *http.Request
		status      int
		contentType string
		contains    string
	}{
		"plain":                    {"curl", request("GET", "/", "Accept", "*/*"), 504, "text/plain; charset=utf-8", notReady + "\n"},
		"bare":                     {"no Accept at all", request("DELETE", "/thing"), 504, "text/plain; charset=utf-8", notReady + "\n"},
		"json":                     {"asks for JSON", request("GET", "/", "Accept", "application/json"), 504, "application/problem+json", `"detail":"` + notReady + `"`},
		"axios":                    {"asks for JSON first", request("PUT", "/", "Accept", "application/json, text/plain, */*"), 504, "application/problem+json", `"status":504`},
		"a type of JSON":           {"GitHub's API", request("GET", "/", "Accept", "application/vnd.github+json"), 504, "application/problem+json", `"status":504`},
		"JSON-LD":                  {"with parameters", request("GET", "/", "Accept", "application/ld+json;profile=\"a\", text/plain;q=0.5"), 504, "application/problem+json", `"status":504`},
		"rather text than JSON":    {"by weight", request("GET", "/", "Accept", "application/hal+json;q=0.1, text/plain"), 504, "text/plain; charset=utf-8", notReady},
		"problem":                  {"knows RFC 9457", request("GET", "/", "Accept", "Application/Problem+JSON;q=0.5"), 504, "application/problem+json", `"title":"Gateway Timeout"`},
		"problem of an API's path": {"no API's client asks for it", request("DELETE", "/api/delete", "Accept", "application/problem+json, */*;q=0.1"), 504, "application/problem+json", `"status":504`},
		"Turbo":                    {"a frame, though it is a form's", request("POST", "/", "Accept", "text/html, */*;q=0.1", "Upgrade-Insecure-Requests", "1", "Turbo-Frame", "a"), 504, "text/plain; charset=utf-8", notReady},
		"rather JSON":              {"an API's client", request("GET", "/", "Accept", "text/html;q=0.1, application/json"), 504, "application/problem+json", `"status":504`},
		"rather text":              {"reads JSON if it must", request("GET", "/", "Accept", "text/*, application/json;q=0.5"), 504, "text/plain; charset=utf-8", notReady + "\n"},
		"rather JSON than text": {"the range that fits best counts", request("GET", "/", "Accept", "text/plain;q=0.1, */*, application/json;q=0.5"),
			504, "application/problem+json", `"status":504`},
		"no JSON":          {"weight 0 refuses", request("GET", "/", "Accept", "application/json;q=0, */*"), 504, "text/plain; charset=utf-8", notReady + "\n"},
		"no page":          {"weight 0 refuses", request("GET", "/", "Accept", "text/html;q=0, */*"), 504, "text/plain; charset=utf-8", notReady + "\n"},
		"browser":          {"a person", request("GET", "/", "Accept", "text/html,*/*;q=0.8"), 504, "text/html; charset=utf-8", notReady},
		"browser and json": {"a page is for people", request("GET", "/", "Accept", "text/html,application/json"), 504, "text/html; charset=utf-8", notReady},
		"chat":             {"openai-chat by its path", request("POST", "/v1/chat/completions", "Accept", "text/event-stream"), 504, "application/json", `"message":"` + notReady + `"`},
		"models":           {"a list of an API", request("GET", "/v1/models"), 504, "application/json", `"message":"` + notReady + `"`},
		"embeddings":       {"no stream", request("POST", "/v1/embeddings", "Accept", "application/json"), 504, "application/json", `"type":"server_error"`},
		"gemini":           {"no stream", request("POST", "/v1beta/models/g:generateContent", "Accept", "*/*"), 504, "application/json", `"status":"DEADLINE_EXCEEDED"`},
		"ollama":           {"a list of an API", request("GET", "/api/tags"), 504, "application/json", `{"error":"` + notReady + `"}`},
		"page of that path": {"a web application's own /chat/completions page", request("GET", "/chat/completions", "Accept", "text/html"),
			504, "text/html; charset=utf-8", notReady},
		"form": {"a browser that submits one", request("POST", "/login", "Accept", "text/html,*/*;q=0.8", "Upgrade-Insecure-Requests", "1"),
			504, "text/html; charset=utf-8", "Reload this page to send it again."},
		"form of that path": {"a web application's own /messages", request("POST", "/messages", "Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate"),
			504, "text/html; charset=utf-8", notReady},
		"JDK": {"names text/html with every request", request("POST", "/v1/messages", "Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
			504, "application/json", `"message":"` + notReady + `"`},
		"turbo": {"a script that would put the page into its own", request("GET", "/", "Accept", "text/html, application/xhtml+xml", "Turbo-Frame", "a"),
			504, "text/plain; charset=utf-8", notReady + "\n"},
		"navigation over TLS": {"Chrome", request("GET", "/", "Accept", "text/html,*/*", "Upgrade-Insecure-Requests", "1", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"),
			504, "text/html; charset=utf-8", "<script"},
		"link over plain HTTP": {"Chrome, on the same site", request("GET", "/", "Accept", "text/html,*/*", "Upgrade-Insecure-Requests", "1", "Referer", "http://example.com/a"),
			504, "text/html; charset=utf-8", "<script"},
		"Connect": {"a stub that posts JSON", request("POST", "/pkg.Service/Call", "Content-Type", "application/json", "Connect-Protocol-Version", "1"),
			504, "application/json", `{"code":"deadline_exceeded","message":"` + notReady + `"}`},
		"Connect, protobuf": {"a stub", request("POST", "/v1/messages", "Content-Type", "application/proto", "Connect-Protocol-Version", "1", "Accept", "*/*"),
			504, "application/json", `{"code":"deadline_exceeded","message":"` + notReady + `"}`},
		"Connect by GET": {"a stub whose call may be cached", request("GET", "/pkg.Service/Call?connect=v1&encoding=json&message=%7B%7D"),
			504, "application/json", `{"code":"deadline_exceeded","message":"` + notReady + `"}`},
		"Connect's stream": {"its status is in the last message", request("POST", "/pkg.Service/Call", "Content-Type", "application/connect+proto"),
			200, "application/connect+proto", "\x02\x00\x00\x00" + `[{"error":{"code":"deadline_exceeded","message":"` + notReady + `"}}`},
		"Twirp":    {"its JSON", request("POST", "/twirp/pkg.Service/Call", "Content-Type", "application/protobuf"), 504, "application/json", `{"code":"deadline_exceeded","msg":"` + notReady + `"}`},
		"grpc":     {"a stub", request("POST", "/pkg.Service/Call", "Content-Type", "application/grpc"), 200, "application/grpc", ""},
		"grpc web": {"a stub in a browser", request("POST", "/pkg.Service/Call", "Content-Type", "application/grpc-web+proto", "Accept", "text/html"), 200, "application/grpc-web+proto", ""},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := fail(t, tc.request, 504, notReady, 0)
			if response.StatusCode != tc.status || response.Header.Get("Content-Type") != tc.contentType {
				t.Errorf("%s: %d %s, want %d %s", tc.reason, response.StatusCode, response.Header.Get("Content-Type"), tc.status, tc.contentType)
			}
			if !strings.Contains(body, tc.contains) {
				t.Errorf("%s: no %s in\n%s", tc.reason, tc.contains, body)
			}
			tc.request.Header.Set("Cookie", strings.Repeat("c", 17<<10))
			tc.request.Header = Fields(tc.request.Header)
			if short, shortBody := fail(t, tc.request, 504, notReady, 0); tc.request.Header["Cookie"] != nil ||
				short.Header.Get("Content-Type") != response.Header.Get("Content-Type") || shortBody != body {
				t.Errorf("%s: with a large head %s\n%s", tc.reason, short.Header.Get("Content-Type"), shortBody)
			}
			if retry := response.Header["Retry-After"]; retry != nil {
				t.Errorf("Retry-After %q with a 504", retry)
			}
			if length := response.Header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(body)) {
				t.Errorf("Content-Length %s of %d bytes", length, len(body))
			}
		})
	}
}

func TestProblemIsRFC9457(t *testing.T) {
	_, body := fail(t, request("GET", "/", "Accept", "application/json"), 503, `too "many"`, 0)
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"type": "about:blank", "title": "Service Unavailable", "status": 503.0, "detail": `too "many"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problem (-want +got):\n%s", diff)
	}
}

func TestRetryAfter(t *testing.T) {
	clients := map[string]*http.Request{
		"plain":   request("GET", "/"),
		"json":    request("GET", "/", "Accept", "application/json"),
		"browser": request("GET", "/", "Accept", "text/html"),
		"chat":    request("POST", "/v1/chat/completions"),
	}
	for name, r := range clients {
		for _, tc := range []struct {
			status     int
			retryAfter time.Duration
			want       string
		}{
			{503, 0, "5"}, {503, time.Second, "1"}, {503, 1200 * time.Millisecond, "2"}, {429, time.Minute, "60"}, {504, 0, ""}, {502, 0, ""},
		} {
			response, _ := fail(t, r, tc.status, "message", tc.retryAfter)
			if got := response.Header.Get("Retry-After"); got != tc.want || response.StatusCode != tc.status {
				t.Errorf("%s, %d in %v: status %d, Retry-After %q, want %q", name, tc.status, tc.retryAfter, response.StatusCode, got, tc.want)
			}
		}
	}
}

func TestFailureToHEADHasNoBody(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"plain":   request("HEAD", "/"),
		"json":    request("HEAD", "/", "Accept", "application/json"),
		"browser": request("HEAD", "/", "Accept", "text/html"),
		"chat":    request("HEAD", "/v1/chat/completions"),
	} {
		response, body := fail(t, r, 503, "message", 0)
		if body != "" || response.ContentLength <= 0 || response.StatusCode != 503 {
			t.Errorf("%s: status %d, length %d, body %q", name, response.StatusCode, response.ContentLength, body)
		}
	}
}

func TestHostileMessagesAreText(t *testing.T) {
	for _, message := range []string{
		`<script>alert(1)</script>`, `"quoted\"`, "two\r\nlines", "not UTF-8 \xff\xfe", "separators \u2028\u2029", "100%", "nul\x00", "Zeichen: äöü 😀", "",
	} {
		for name, r := range map[string]*http.Request{
			"plain":   request("GET", "/"),
			"json":    request("GET", "/", "Accept", "application/json"),
			"browser": request("GET", "/", "Accept", "text/html"),
			"chat":    request("POST", "/v1/chat/completions"),
			"grpc":    request("POST", "/s/c", "Content-Type", "application/grpc+proto"),
		} {
			response, body := fail(t, r, 502, message, 0)
			if !utf8.ValidString(body) {
				t.Errorf("%s, %q: the body is not UTF-8", name, message)
			}
			switch name {
			case "browser":
				if strings.Contains(body, "<script>") {
					t.Errorf("%q is markup", message)
				}
			case "json", "chat":
				if !json.Valid([]byte(body)) {
					t.Errorf("%s, %q: no JSON:\n%s", name, message, body)
				}
			case "grpc":
				for _, b := range []byte(response.Header.Get("Grpc-Message")) {
					if b < ' ' || b > '~' {
						t.Errorf("%q: byte %#x in Grpc-Message", message, b)
					}
				}
			}
		}
	}
}

func TestGRPCStatus(t *testing.T) {
	for httpStatus, want := range map[int]codes.Code{
		504: codes.DeadlineExceeded, 503: codes.Unavailable, 502: codes.Unavailable, 429: codes.Unavailable,
		404: codes.Unimplemented, 403: codes.PermissionDenied, 401: codes.Unauthenticated, 400: codes.Internal, 500: codes.Internal, 413: codes.Unknown,
	} {
		response, body := fail(t, request("POST", "/s/c", "Content-Type", "application/grpc"), httpStatus, "message", 0)
		if got := response.Header.Get("Grpc-Status"); got != strconv.Itoa(int(want)) || response.StatusCode != 200 || body != "" {
			t.Errorf("%d: HTTP %d, grpc-status %s, want %d, body %q", httpStatus, response.StatusCode, got, want, body)
		}
	}
}

// The real stub, over h2c, reads code and message.
func TestGRPCClientReadsTheFailure(t *testing.T) {
	const message = "100% of the places are taken — später wieder"
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Write(w, r, &Error{Status: http.StatusServiceUnavailable, Message: message, RetryAfter: time.Second})
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()

	conn, err := grpc.NewClient("passthrough:///"+server.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if got := status.Convert(err); got.Code() != codes.Unavailable || got.Message() != message {
		t.Errorf("the stub reads %v", err)
	}
}

package stream

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"
)

// spliced is what a visible chat client gets for an answer, after the message.
func spliced(t *testing.T, d *Dialect, body string, handler func(http.ResponseWriter) error) (text string, status int, err error) {
	t.Helper()
	none := ""
	c, err := Compile(Options{Message: "m", Separator: &none})
	if err != nil {
		t.Fatal(err)
	}
	q := asking(d, nil, body)
	w := httptest.NewRecorder()
	s, err := c.Open(w, q, unknown)
	if err != nil {
		t.Fatal(err)
	}
	before := w.Body.Len()
	p := s.Splice(httptest.NewRequest("POST", "/", nil), plenty{})
	failed := handler(p)
	if errors.As(failed, new(refusedError)) {
		err = p.Close(failed, http.StatusGatewayTimeout, "the backend did not respond in time")
	} else {
		err = p.Close(failed, http.StatusBadGateway, "the backend did not answer")
	}
	if w.Code != 200 {
		t.Errorf("committed status %d", w.Code)
	}
	return w.Body.String()[before:], p.Status(), err
}

func chatFailure(message, kind, code string) string {
	return fmt.Sprintf(`data: {"error":{"message":%s,"type":%q,"param":null,"code":%s}}`, quote(message), kind, code) + "\n\n"
}

// TestBackendErrorAfterTheCommitIsAnErrorEvent: never masked as a 200, and never copied raw. The
// records show its real status.
func TestBackendErrorAfterTheCommitIsAnErrorEvent(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		reason, media string
		status        int
		body          string
		want          string
	}{
		{"OpenAI's error", "application/json", 400, `{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
			`data: {"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}` + "\n\n"},
		{"a code of null", "application/json", 429, `{"error":{"message":"slow down","type":"requests","code":null}}`,
			chatFailure("slow down", "requests", `"429"`)},
		{"a code that is a number", "application/json", 404, `{"error":{"message":"no","code":404}}`, chatFailure("no", "invalid_request_error", `404`)},
		{"a code that is neither", "application/json", 404, `{"error":{"message":"no","code":{"a":1}}}`, chatFailure("no", "invalid_request_error", `"404"`)},
		{"vLLM's flat error", "application/json", 400, `{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}`,
			`data: {"error":{"message":"bad","type":"BadRequestError","param":null,"code":400,"object":"error"}}` + "\n\n"},
		{"error as a text", "application/json", 500, `{"error":"out of memory"}`, chatFailure("out of memory", "server_error", `"500"`)},
		{"error.message comes before detail", "application/json", 500, `{"detail":"d","error":{"message":"e"}}`, chatFailure("e", "server_error", `"500"`)},
		{"error comes before detail", "application/json", 500, `{"detail":"d","error":"e"}`, chatFailure("e", "server_error", `"500"`)},
		{"Spring names the status beside the message", "application/json", 400, `{"status":400,"error":"Bad Request","message":"too long"}`,
			`data: {"error":{"message":"too long","type":"invalid_request_error","param":null,"code":"400","status":400}}` + "\n\n"},
		{"Nest does too", "application/json", 503, `{"statusCode":503,"message":"no model","error":"Service Unavailable"}`,
			`data: {"error":{"message":"no model","type":"server_error","param":null,"code":503,"statusCode":503}}` + "\n\n"},
		{"Nest's list of reasons", "application/json", 400, `{"statusCode":400,"message":["name is empty","age is not a number"],"error":"Bad Request"}`,
			`data: {"error":{"message":"[\"name is empty\",\"age is not a number\"]","type":"invalid_request_error","param":null,"code":400,"statusCode":400}}` + "\n\n"},
		{"the name of a status alone", "application/json", 503, `{"error":"Service Unavailable"}`, chatFailure("Service Unavailable", "server_error", `"503"`)},
		{"detail comes before message", "application/json", 500, `{"message":"m","detail":"d"}`, chatFailure("d", "server_error", `"500"`)},
		{"FastAPI's list of details", "application/json", 422, `{"detail":[{"loc":["body"],"msg":"bad"}]}`,
			chatFailure(`[{"loc":["body"],"msg":"bad"}]`, "invalid_request_error", `"422"`)},
		{"an error below FastAPI's detail", "application/json", 400, `{"detail":{"error":{"message":"bad","type":"t","code":"c"}}}`, chatFailure("bad", "t", `"c"`)},
		{"a text below FastAPI's detail", "application/json", 400, `{"detail":{"error":"bad"}}`, chatFailure("bad", "invalid_request_error", `"400"`)},
		{"a message below FastAPI's detail", "application/json", 400, `{"detail":{"msg":"bad"}}`, chatFailure("bad", "invalid_request_error", `"400"`)},
		{"a list of errors", "application/json", 400, `{"errors":[{"message":"bad"},{"message":"worse"}]}`, chatFailure("bad; worse", "invalid_request_error", `"400"`)},
		{"a list of texts", "application/json", 400, `{"errors":["bad","worse"]}`, chatFailure("bad; worse", "invalid_request_error", `"400"`)},
		{"an error that is a list", "application/json", 400, `{"error":["bad"]}`, `data: {"error":{"message":"bad","type":"invalid_request_error","param":null,"code":"400"}}` + "\n\n"},
		{"an error with a detail", "application/json", 400, `{"error":{"detail":"bad"}}`, chatFailure("bad", "invalid_request_error", `"400"`)},
		{"a message that is an object", "application/json", 400, `{"message":{"error":"bad"}}`, chatFailure("bad", "invalid_request_error", `"400"`)},
		{"a short name", "application/json", 400, `{"msg":"bad"}`, chatFailure("bad", "invalid_request_error", `"400"`)},
		{"OAuth's error", "application/json", 401, `{"error":"invalid_token","error_description":"expired"}`,
			`data: {"error":{"message":"invalid_token","type":"invalid_request_error","param":null,"code":"401","error_description":"expired"}}` + "\n\n"},
		{"Google's list", "application/json", 400, `[{"error":{"code":400,"message":"g","status":"INVALID_ARGUMENT"}}]`,
			`data: {"error":{"message":"g","type":"invalid_request_error","param":null,"code":400,"status":"INVALID_ARGUMENT"}}` + "\n\n"},
		{"JSON of another shape is text", "application/json", 400, `{"oops":1}`, chatFailure(`{"oops":1}`, "invalid_request_error", `"400"`)},
		{"invalid JSON is text", "application/json", 400, `{"error":`, chatFailure(`{"error":`, "invalid_request_error", `"400"`)},
		{"text", "text/plain", 503, "no capacity\n", chatFailure("no capacity", "server_error", `"503"`)},
		{"the first 4 KiB of text", "text/plain", 503, long, chatFailure(long[:4096], "server_error", `"503"`)},
		{"nothing but a status", "", 503, "", chatFailure("Service Unavailable", "server_error", `"503"`)},
		{"bytes that are no text", "application/octet-stream", 500, "\xff\x00", chatFailure("Internal Server Error", "server_error", `"500"`)},
		{"an error that is a stream", "text/event-stream", 429, "event: error\ndata: " + openAIError + "\n\ndata: [DONE]\n\n", chatFailure("no such model", "NotFoundError", "404")},
		{"a stream that is no error", "text/event-stream", 500, "data: {\"a\":1}\n\n", chatFailure(`{"a":1}`, "server_error", `"500"`)},
		{"HTML", "text/html", 200, "<html>login</html>", chatFailure("<html>login</html>", "server_error", `"502"`)},
		{"a redirect", "", 307, "", chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"JSON that is no completion", "application/json", 200, `{"ok":true}`, chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"an error with a good status", "application/json", 200, `{"error":{"message":"no","type":"t"}}`, chatFailure("no", "t", `"502"`)},
		{"MiniMax's error", "application/json", 200, `{"base_resp":{"status_code":1004,"status_msg":"login fail"},"choices":null}`, chatFailure("login fail", "server_error", "1004")},
		{"an error as code and text", "application/json", 200, `{"code":1002,"msg":"quota gone","data":null}`, chatFailure("quota gone", "server_error", "1002")},
		{"no success", "application/json", 200, `{"success":false,"errorMessage":"boom","errorCode":"E7"}`, chatFailure("boom", "server_error", `"E7"`)},
		{"Baidu's error", "application/json", 200, `{"error_code":17,"error_msg":"daily limit"}`, chatFailure("daily limit", "server_error", "17")},
		{"Tencent's error", "application/json", 200, `{"Response":{"Error":{"Code":"AuthFailure","Message":"no key"},"RequestId":"1"}}`,
			`data: {"error":{"message":"no key","type":"server_error","param":null,"code":"AuthFailure"},"RequestId":"1"}` + "\n\n"},
		{"ByteDance's error", "application/json", 200, `{"ResponseMetadata":{"Error":{"CodeN":1,"Code":"Forbidden","Message":"no"}}}`,
			`data: {"error":{"message":"no","type":"server_error","param":null,"code":"Forbidden","CodeN":1}}` + "\n\n"},
		{"GraphQL's error", "application/json", 200, `{"errors":[{"message":"bad","type":"t","code":"c"}],"data":null}`, chatFailure("bad", "t", `"c"`)},
		{"vLLM's error with a good status", "application/json", 200, `{"object":"error","message":"ctx","type":"BadRequestError","param":null,"code":400}`, chatFailure("ctx", "BadRequestError", "400")},
		{"an error in a list", "application/json", 200, `[{"msg":"bad","errno":-3}]`, chatFailure("bad", "server_error", "-3")},
		{"a success without an answer", "application/json", 200, `{"code":0,"msg":"ok","data":null}`, chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"a success that says so", "application/json", 200, `{"success":true,"message":"queued"}`, chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"MiniMax's success without an answer", "application/json", 200, `{"base_resp":{"status_code":0,"status_msg":"success"}}`, chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"a title is a message only of an error", "application/json", 200, `{"title":"Home"}`, chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"Apigee's error", "application/json", 401, `{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"x"}}}`, `data: {"error":{"message":"Invalid ApiKey","type":"invalid_request_error","param":null,"code":"401","faultstring":"Invalid ApiKey"}}` + "\n\n"},
		{"AWS's error", "application/json", 400, `{"__type":"ThrottlingException","Message":"Rate exceeded"}`, chatFailure("Rate exceeded", "ThrottlingException", `"400"`)},
		{"a problem", "application/problem+json", 403, `{"type":"about:blank","title":"Forbidden","status":403,"detail":"no plan"}`,
			`data: {"error":{"message":"no plan","type":"invalid_request_error","param":null,"code":"403","title":"Forbidden","status":403}}` + "\n\n"},
		{"a problem without a detail", "application/problem+json", 403, `{"type":"about:blank","title":"Out of credit","status":403}`, chatFailure("Out of credit", "invalid_request_error", `"403"`)},
		{"a code in a list of one", "application/json", 404, `{"errors":[{"code":7003,"message":"No route"}],"success":false}`, chatFailure("No route", "invalid_request_error", "7003")},
		{"UTF-16 with a mark", "application/json", 400, "\xff\xfe" + inUTF16(`{"error":{"message":"größer"}}`, binary.LittleEndian), chatFailure("größer", "invalid_request_error", `"400"`)},
		{"UTF-16, the high byte first", "application/json", 400, "\xfe\xff" + inUTF16(`{"error":{"message":"no"}}`, binary.BigEndian), chatFailure("no", "invalid_request_error", `"400"`)},
		{"UTF-16 without a mark", "", 500, inUTF16("no memory", binary.LittleEndian), chatFailure("no memory", "server_error", `"500"`)},
		{"sound", "audio/wav", 200, "RIFF\x00\x01WAVE", chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"gzip that is called text", "text/plain", 200, "\x1f\x8b\x08\x00", chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
		{"gzip that is called a stream", "text/event-stream", 200, "\x1f\x8b\x08\x00", chatFailure("the backend did not answer with a stream", "server_error", `"502"`)},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, status, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
				answer(c.status, c.media, c.body)(w)
				return nil
			})
			if got != c.want || err != nil {
				t.Errorf("got %v\n%swant\n%s", err, got, c.want)
			}
			if status != c.status {
				t.Errorf("recorded status %d, want %d", status, c.status)
			}
		})
	}
}

// inUTF16 is a text in UTF-16.
func inUTF16(text string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// TestBackendErrorKeepsItsMembers, also those that the API's own error does not have, unless
// they are too long for a line that clients read.
func TestBackendErrorKeepsItsMembers(t *testing.T) {
	long := `"` + strings.Repeat("x", maxProblem) + `"`
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		body    string
		want    string
	}{
		{"Azure's filter", &openAIChat, `{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code": "ResponsibleAIPolicyViolation"}}}`,
			`data: {"error":{"message":"m","type":"invalid_request_error","param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}` + "\n\n"},
		{"members over lines", &openAICompletions, "{\n\"error\": {\n\"message\": \"m\",\n\"metadata\": {\n\"provider\": \"x\"\n}\n},\n\"user_id\": \"u\"\n}",
			`data: {"error":{"message":"m","type":"invalid_request_error","param":null,"code":"400","metadata":{"provider":"x"}},"user_id":"u"}` + "\n\n"},
		{"a param that is no text", &openAIChat, `{"error":{"message":"m","type":"t","param":{"a":1},"code":1}}`,
			`data: {"error":{"message":"m","type":"t","param":null,"code":1}}` + "\n\n"},
		{"what is too long", &openAIChat, `{"error":{"message":"m","type":"t","code":1,"trace":` + long + `,"hint":"h"}}`,
			`data: {"error":{"message":"m","type":"t","param":null,"code":1,"hint":"h"}}` + "\n\n"},
		{"separators and bytes that are no text", &openAIChat, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":1,\"hint\":\"\u2028\xff\"}}",
			`data: {"error":{"message":"m","type":"t","param":null,"code":1,"hint":"\u2028` + "\uFFFD" + `"}}` + "\n\n"},
		{"an escaped name", &openAIChat, `{"error":{"mess\u0061ge":"m","type":"t","code":1,"a\"b":2}}`,
			`data: {"error":{"message":"m","type":"t","param":null,"code":1,"a\"b":2}}` + "\n\n"},
		{"Anthropic", &anthropic, `{"type":"error","error":{"type":"invalid_request_error","message":"m","details":{"a":1}},"request_id":"req_1"}`,
			"event: error\n" + `data: {"type":"error","error":{"type":"invalid_request_error","message":"m","details":{"a":1}},"request_id":"req_1"}` + "\n\n"},
		{"OpenAI's to a client of Anthropic", &anthropic, `{"error":{"type":"t","message":"m","param":"p","code":null}}`,
			"event: error\n" + `data: {"type":"error","error":{"type":"t","message":"m","param":"p","code":null}}` + "\n\n"},
		{"Gemini", &gemini, `[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"t","reason":"API_KEY_INVALID"}]}}]`,
			"data: " + `{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"t","reason":"API_KEY_INVALID"}]}}` + "\n\n" +
				`{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"t","reason":"API_KEY_INVALID"}]}}` + "\n"},
		{"Ollama", &ollamaChat, `{"error":"unauthorized","signin_url":"https://ollama.com/connect"}`, `{"error":"unauthorized","signin_url":"https://ollama.com/connect"}` + "\n"},
		{"OpenAI's to a client of Ollama", &ollamaGenerate, `{"error":{"message":"m","type":"t"}}`, `{"error":"m","type":"t"}` + "\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, _, err := spliced(t, c.dialect, chatBody, func(w http.ResponseWriter) error {
				answer(400, "application/json", c.body)(w)
				return nil
			})
			if got != c.want || c.dialect.cutsFailures != (err != nil) {
				t.Errorf("got %v\n%swant\n%s", err, got, c.want)
			}
		})
	}
	got, _, _ := spliced(t, &openAIResponses, chatBody, func(w http.ResponseWriter) error { // the next line shows the result
		answer(400, "application/json", `{"error":{"message":"m","type":"t","param":"input","code":"c","hint":"h"}}`)(w)
		return nil
	})
	if want := `"message":"m","param":"input","sequence_number":0,"error":{"message":"m","type":"t","param":"input","code":"c","hint":"h"}}`; !strings.Contains(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// compressed is a text in a content coding, with a flush behind each piece.
func compressed(t *testing.T, coding string, pieces ...string) []string {
	t.Helper()
	if coding == "gzip members" { // each piece is one
		var all []string
		for _, piece := range pieces {
			all = append(all, strings.Join(compressed(t, "gzip", piece), ""))
		}
		return append(all, "")
	}
	var out bytes.Buffer
	var w interface {
		io.WriteCloser
		Flush() error
	}
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "raw deflate":
		w, _ = flate.NewWriter(&out, flate.DefaultCompression) // the level is valid
	}
	var all []string
	for _, piece := range pieces {
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		all = append(all, out.String())
		out.Reset()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(all, out.String())
}

// TestCompressedStreamsAreDecodedAsTheyArrive: each event is there as soon as its bytes are.
func TestCompressedStreamsAreDecodedAsTheyArrive(t *testing.T) {
	events := []string{chatChunk1, chatChunk2, "data: " + strings.Repeat("x", 100_000) + "\n\n"}
	for _, coding := range []string{"gzip", "gzip members", "deflate", "raw deflate"} {
		t.Run(coding, func(t *testing.T) {
			pieces := compressed(t, coding, events...)
			c, err := Compile(Options{Message: "m"})
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			s, err := c.Open(w, asking(&anthropic, nil, chatBody), unknown)
			if err != nil {
				t.Fatal(err)
			}
			p := s.Splice(httptest.NewRequest("POST", "/", nil), plenty{})
			p.Header().Set("Content-Encoding", strings.TrimSuffix(strings.TrimPrefix(coding, "raw "), " members"))
			for i, event := range events {
				before := w.Body.Len()
				for _, b := range []byte(pieces[i]) { // in the smallest pieces there are
					if _, err := p.Write([]byte{b}); err != nil {
						t.Fatal(err)
					}
				}
				if got := w.Body.String()[before:]; got != event {
					t.Errorf("event %d: got %d bytes of %d: %.80q", i, len(got), len(event), got)
				}
			}
			if _, err := io.WriteString(p, pieces[len(events)]); err != nil {
				t.Fatal(err)
			}
			if err := p.Close(nil, 0, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCompressedAnswers(t *testing.T) {
	whole := func(coding, text string) string { return strings.Join(compressed(t, coding, text), "") }
	plain, status, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
		answer(200, "application/json", chatJSON)(w)
		return nil
	})
	if err != nil || status != 200 {
		t.Fatal(err)
	}
	notStream := chatFailure("the backend did not answer with a stream", "server_error", `"502"`)
	for _, c := range []struct {
		reason, coding, body string
		status               int
		want                 string
		cut                  bool
	}{
		{"JSON in gzip", "gzip", whole("gzip", chatJSON), 200, plain, false},
		{"an error in gzip", "GZip", whole("gzip", openAIError), 404, chatFailure("no such model", "NotFoundError", "404"), false},
		{"identity is no coding", "identity", chatJSON, 200, plain, false},
		{"a character set is no coding", "utf-8", chatJSON, 200, plain, false},
		{"a framing is no coding", "aws-chunked, gzip", whole("gzip", chatJSON), 200, plain, false},
		{"another coding", "br", "\x0b\x02\x80", 200, notStream, false},
		{"an error in another coding", "zstd", "\x28\xb5", 500, chatFailure("Internal Server Error", "server_error", `"500"`), false},
		{"two codings", "gzip, br", whole("gzip", chatJSON), 200, notStream, false},
		{"no gzip at all", "gzip", "data: x\n\n", 200, chatFailure("the backend's answer cannot be decoded", "server_error", `"502"`), false},
		{"an error that is no gzip", "gzip", openAIError, 404, chatFailure("no such model", "NotFoundError", "404"), false},
		{"cut gzip before any byte", "gzip", whole("gzip", chatJSON)[:20], 200, chatFailure("the backend's answer cannot be decoded", "server_error", `"502"`), false},
		{"JSON in members of gzip, one of them empty", "gzip", whole("gzip", chatJSON[:9]) + whole("gzip", "") + whole("gzip", chatJSON[9:]), 200, plain, false},
		{"a stream in members of gzip", "x-gzip", whole("gzip", chatChunk2) + whole("gzip", chatChunk2), 200, chatChunk2 + chatChunk2, false},
		{"padding behind gzip", "gzip", whole("gzip", chatJSON) + "\x00\x00\x00", 200, plain, false},
		{"a member of gzip cut in its header", "gzip", whole("gzip", chatChunk2) + "\x1f", 200, chatChunk2, true},
		{"a member of gzip cut in its text", "gzip", whole("gzip", chatChunk2) + compressed(t, "gzip", chatChunk2)[0], 200, chatChunk2 + chatChunk2, true},
		{"JSON in deflate", "deflate", whole("deflate", chatJSON), 200, plain, false},
		{"JSON in bare deflate", "deflate", whole("raw deflate", chatJSON), 200, plain, false},
		{"a little gzip that becomes a long error", "gzip", whole("gzip", strings.Repeat("x", 2*maxFailure)), 500,
			chatFailure(strings.Repeat("x", 4096), "server_error", `"500"`), false},
		{"cut gzip in a stream", "gzip", compressed(t, "gzip", chatChunk2)[0], 200, chatChunk2, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
				w.Header().Set("Content-Encoding", c.coding)
				answer(c.status, "", c.body)(w)
				return nil
			})
			if got != c.want || errors.Is(err, http.ErrAbortHandler) != c.cut {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
}

// TestBrokenCompressionIsTheBackends: the client is there, and reads on.
func TestBrokenCompressionIsTheBackends(t *testing.T) {
	piece := compressed(t, "gzip", chatChunk2)[0]
	got, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
		w.Header().Set("Content-Encoding", "gzip")
		if _, err := io.WriteString(w, piece); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "\xff\xff\xff\xff\xff"); err != nil {
			return fmt.Errorf("writing to the client failed: %w", context.Canceled) // as the forwarder says
		}
		return nil
	})
	if got != chatChunk2 || !errors.Is(err, http.ErrAbortHandler) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v %q", err, got)
	}
}

// TestConvertedAnswers: what a converted answer must not say.
func TestConvertedAnswers(t *testing.T) {
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		answer  string
		want    string // in the stream
		forbid  string
	}{
		{"members that are null are no deltas", &anthropic, `{"type":"message","content":[{"type":"text","text":"hi","input":null,"signature":null}]}`, "text_delta", "input_json_delta"},
		{"tokens are counted once", &anthropic, `{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":300}}`, `"usage":{"input_tokens":3,"output_tokens":0}`, ""},
		{"a response that is queued", &openAIResponses, `{"object":"response","status":"queued","output":[]}`, "event: response.queued", "response.completed"},
		{"a response that was cancelled", &openAIResponses, `{"object":"response","status":"cancelled","output":[]}`, "event: error", "response.completed"},
		{"a response that failed", &openAIResponses, `{"object":"response","status":"failed","error":{"code":"x"},"output":[]}`, `event: response.failed`, ""},
		{"an item with another content", &openAIResponses, `{"object":"response","output":[{"type":"custom","content":"text"}]}`, `event: response.output_item.done`, ""},
		{"text keeps its characters", &openAIResponses, `{"object":"response","output":[{"type":"message","id":"1","content":[{"type":"output_text","text":"<b>&"}]}]}`, `"delta":"<b>&"`, ""},
		{"many parts", &openAIResponses, `{"object":"response","output":[` + strings.Repeat("{},", 5000) + `{}]}`, `"output_index":5000`, "event: error"},
		{"more tool calls than anybody makes", &openAIChat, `{"choices":[{"message":{"tool_calls":[` + strings.Repeat("{},", maxCalls) + `{"id":"last"}]}}]}`, `{"index":999},{"id":"last"}`, "error"},
		{"the input of a tool in pieces", &anthropic, `{"type":"message","content":[{"type":"tool_use","input":{"a":"` + strings.Repeat("ü", piece/8) + `<"}}]}`, `"partial_json":"ü`, "\ufffd"},
		{"more blocks than anybody writes", &anthropic, `{"type":"message","content":[` + strings.Repeat("{},", maxItems) + `{}]}`, "event: error", "message_stop"},
		{"more parts than anybody writes", &openAIResponses, `{"object":"response","output":[{"type":"message","content":[` + strings.Repeat("{},", 2*maxItems) + `{}]},{}]}`, "event: response.completed", `"content_index":10000,`},
		{"content that is null", &anthropic, `{"type":"message","content":null}`, "event: message_stop", "event: error"},
		{"content that is no list", &anthropic, `{"type":"message","content":"hi"}`, "event: error", "message_stop"},
		{"an empty answer on many lines", &ollamaChat, "{\n\"model\":\"m\",\n\"message\":{\"role\":\"assistant\",\"content\":\"\"},\n\"done\":true}", `"done":true`, "error"},
		{"a chat without a choice", &openAIChat, `{"id":"1","object":"chat.completion","choices":[],"usage":{"total_tokens":3}}`,
			`data: {"id":"1","object":"chat.completion.chunk","choices":[],"usage":{"total_tokens":3}}` + "\n\ndata: [DONE]\n\n", "error"},
		{"a chat without a message", &openAIChat, `{"choices":[{"index":0,"message":null,"finish_reason":"content_filter"}],"usage":{"total_tokens":3}}`,
			`data: {"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}],"usage":{"total_tokens":3}}` + "\n\ndata: [DONE]\n\n", "error"},
		{"a chat with one message of two", &openAIChat, `{"error":null,"choices":[{"message":null},{"index":1,"message":{"content":"hi"}}]}`, `{"index":1,"delta":{"content":"hi"}}`, "server_error"},
		{"an error beside no choice", &openAIChat, `{"choices":[],"error":{"message":"no memory"}}`, `"message":"no memory"`, "[DONE]"},
		{"an error beside no message", &openAIChat, `{"error":"no memory","choices":[{"message":null}]}`, `"message":"no memory"`, "[DONE]"},
		{"an error that says nothing", &openAIChat, `{"error":{},"choices":[{"message":{"content":"hi"}}]}`, `data: {"choices":[{"delta":{"content":"hi"}}]}`, "error"},
		{"an error that is an empty text", &openAICompletions, `{"choices":[{"text":"hi"}],"error":""}`, `data: {"choices":[{"text":"hi"}]}`, "error"},
		{"an error that is null, of Ollama", &ollamaChat, `{"message":{"content":"hi"},"error":null,"done":true}`, `"done":true`, "error"},
		{"an error that is null, of Gemini", &gemini, `{"candidates":[{"content":{}}],"error":null}`, `data: {"candidates":[{"content":{}}]}`, "error"},
		{"an answer in a wrapper, of Gemini", &gemini, `{"code":0,"msg":"success","data":{"candidates":[{"content":{}}]}}`, `data: {"candidates":[{"content":{}}]}`, "success"},
		{"an answer of another API, to Gemini", &gemini, `{"choices":[{"message":{"content":"hi"}}]}`, `"code":502`, "choices"},
		{"a prompt that was blocked", &gemini, `{"promptFeedback":{"blockReason":"SAFETY"}}`, `data: {"promptFeedback":{"blockReason":"SAFETY"}}`, "error"},
		{"an error of another kind, to Gemini", &gemini, `{"code":1002,"msg":"quota gone"}`, `"message":"quota gone"`, "candidates"},
		{"calls that have their index", &openAIChat, `{"choices":[{"message":{"tool_calls":[{"index":0,"id":"a"},{"id":"b","index":1}]}}]}`, `"tool_calls":[{"index":0,"id":"a"},{"index":1,"id":"b"}]`, "error"},
		{"a role of another choice", &openAIChat, `{"choices":[{"index":1,"message":{"role":"assistant","content":"a"}},{"index":0,"message":{"role":"assistant","content":"b"}}]}`,
			`{"index":1,"delta":{"role":"assistant","content":"a"}},{"index":0,"delta":{"content":"b"}}`, "error"},
		{"choices that are no list", &openAIChat, `{"choices":{}}`, `"502"`, "[DONE]"},
		{"white space all the while", &openAIChat, strings.Repeat("\n ", 8<<10) + chatJSON, `"object":"chat.completion.chunk"`, "error"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, _, _ := spliced(t, c.dialect, `{"model":"m","stream":true}`, func(w http.ResponseWriter) error {
				answer(200, "application/json", c.answer)(w)
				return nil
			})
			if !strings.Contains(got, c.want) || c.forbid != "" && strings.Contains(got, c.forbid) {
				t.Errorf("want %s, not %q, in\n%.2000s", c.want, c.forbid, got)
			}
		})
	}
}

// TestUnusualEventStreamsPass: fields that are unknown, or have no colon, are valid.
func TestUnusualEventStreamsPass(t *testing.T) {
	for _, body := range []string{"data\n\n", "message: x\ndata: hi\n\n"} {
		got, _, err := spliced(t, &eventSource, "", func(w http.ResponseWriter) error {
			answer(200, eventStream, body)(w)
			return nil
		})
		if got != body || err != nil {
			t.Errorf("got %v %q", err, got)
		}
	}
}

// TestContentTypeIsAHint: what an answer is shows its beginning.
func TestContentTypeIsAHint(t *testing.T) {
	plain, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
		answer(200, "application/json", chatJSON)(w)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	crOnly := strings.ReplaceAll(chatChunk2, "\n", "\r")
	for _, media := range []string{"", "application/json", "text/html", "application/x-ndjson", "text/event-stream", "audio/mpeg"} {
		for _, c := range []struct{ reason, body, want string }{
			{"a stream", chatChunk2, chatChunk2},
			{"a stream behind a byte order mark", "\ufeff" + chatChunk2, chatChunk2},
			{"a stream behind blank lines", "\r\n\n" + chatChunk2, chatChunk2},
			{"a stream whose lines end with CR", crOnly, crOnly},
			{"a whole answer", chatJSON, plain},
			{"a whole answer behind a byte order mark", "\ufeff \n" + chatJSON, plain},
			{"an error", openAIError, chatFailure("no such model", "NotFoundError", "404")},
			{"a page", "<!doctype html>", chatFailure("<!doctype html>", "server_error", `"502"`)},
		} {
			t.Run(media+"/"+c.reason, func(t *testing.T) {
				for _, pieces := range [][]string{{c.body}, strings.SplitAfter(c.body, "")} {
					got, status, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
						answer(200, media, pieces...)(w)
						return nil
					})
					if got != c.want || err != nil || status != 200 {
						t.Errorf("got %d %v\n%q\nwant\n%q", status, err, got, c.want)
					}
				}
			})
		}
	}
}

// TestEventsWithCRPassOneByOne: each is out before the next one comes.
func TestEventsWithCRPassOneByOne(t *testing.T) {
	event := `data: {"choices":[{"index":1,"delta":{"content":"a"}}]}` + "\r\r"
	_, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
		p := w.(*Splicer)
		recorder := p.stream.client.w.(*httptest.ResponseRecorder)
		for i := range 3 {
			before := recorder.Body.Len()
			if _, err := io.WriteString(w, event); err != nil {
				return err
			}
			if got := recorder.Body.String()[before:]; got != event {
				t.Errorf("event %d: got %q", i, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOllamaAnswers: a stream and a whole answer begin alike.
func TestOllamaAnswers(t *testing.T) {
	const request = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	line := `{"model":"m","message":{"role":"assistant","content":"Hello"},"done":false}` + "\n"
	last := `{"model":"m","message":{"role":"assistant","content":""},"done":true,"eval_count":3}` + "\n"
	whole := `{"model":"m","message":{"role":"assistant","content":"Hello"},"done":true,"eval_count":3}`
	separator := "" // the helper has none
	for _, c := range []struct{ reason, body, want string }{
		{"a stream", line + last, line + last},
		{"a stream that is only an end", last, last},
		{"a whole answer", whole, line + last},
		{"a whole answer and a line end", whole + "\n", line + last},
		{"a whole answer on many lines", strings.ReplaceAll(whole, ",", ",\n  "), line + last},
		{"events", chatChunk2, chatChunk2},
		{"an empty stream of events", ": hi\n\n", ": hi\n\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			for _, pieces := range [][]string{{c.body}, strings.SplitAfter(c.body, "")} {
				got, _, err := spliced(t, &ollamaChat, request, func(w http.ResponseWriter) error {
					answer(200, "application/json", pieces...)(w)
					return nil
				})
				if got != separator+c.want || err != nil {
					t.Errorf("got %v\n%s\nwant\n%s", err, got, c.want)
				}
			}
		})
	}
}

func TestSpliceVerbatim(t *testing.T) {
	long := strings.Repeat("x", 3*maxHeld)
	stream := "data: {\"choices\":[{\"index\":0,\"delta\":{ \"content\" : \"a\" }}]}\r\n\r\n: odd\n\nevent: x\nretry: 1\ndata: [DONE]\n\n"
	for _, c := range []struct {
		reason string
		media  string
		body   string
		want   string
	}{
		{"its own media type", "text/event-stream", stream, stream},
		{"with a parameter, in any case", "Text/Event-Stream; charset=UTF-8", stream, stream},
		{"no media type", "", stream, stream},
		{"the media type that Go guesses", "text/plain; charset=utf-8", stream, stream},
		{"bytes", "application/octet-stream", stream, stream},
		{"begins with a comment", "", ": hi\n\n" + stream, ": hi\n\n" + stream},
		{"begins with an event line", "", "event: a\n" + stream, "event: a\n" + stream},
		{"begins with an id", "", "id: a\n" + stream, "id: a\n" + stream},
		{"begins with retry", "", "retry: 1\n\n" + stream, "retry: 1\n\n" + stream},
		{"begins with white space, of which keepalives take the place", "", strings.Repeat("\r\n ", 2000) + stream, stream},
		{"no line end", "text/event-stream", "data: x", "data: x"},
		{"role first", "text/event-stream", `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}` + "\n", `data: {"choices":[{"index":0,"delta":{"content":"a"}}]}` + "\n"},
		{"role last", "text/event-stream", `data: {"choices":[{"delta":{"content":"a" , "role" : "assistant" }}]}` + "\n", `data: {"choices":[{"delta":{"content":"a"  }}]}` + "\n"},
		{"role first, with white space", "text/event-stream", `data: {"choices": [{"delta": {"role": "assistant", "content": "a"}}]}` + "\n", `data: {"choices": [{"delta": {"content": "a"}}]}` + "\n"},
		{"role in the middle", "text/event-stream", `data: {"choices":[{"delta":{"content":"a","role":"assistant","x":1}}]}` + "\n", `data: {"choices":[{"delta":{"content":"a","x":1}}]}` + "\n"},
		{"role with escapes", "text/event-stream", `data: {"choices":[{"delta":{"r\u006fle":"assistant","x":1}}]}` + "\n", `data: {"choices":[{"delta":{"x":1}}]}` + "\n"},
		{"role alone", "text/event-stream", `data:{"choices":[{"delta":{"role":"assistant"},"index":0}]}` + "\r\n", `data:{"choices":[{"delta":{},"index":0}]}` + "\r\n"},
		{"role after an event without choices", "text/event-stream",
			`data: {"choices":[]}` + "\n\n" + `data: {"choices":[{"delta":{"role":"assistant","content":"a"}}]}` + "\n",
			`data: {"choices":[]}` + "\n\n" + `data: {"choices":[{"delta":{"content":"a"}}]}` + "\n"},
		{"only the first delta loses it", "text/event-stream",
			strings.Repeat(`data: {"choices":[{"delta":{"role":"assistant","content":"a"}}]}`+"\n", 2),
			`data: {"choices":[{"delta":{"content":"a"}}]}` + "\n" + `data: {"choices":[{"delta":{"role":"assistant","content":"a"}}]}` + "\n"},
		{"a choice that we sent no role for keeps its own", "text/event-stream",
			`data: {"choices":[{"index":1,"delta":{"role":"assistant"}},{"index":0,"delta":{"role":"assistant"}}]}` + "\n",
			`data: {"choices":[{"index":1,"delta":{"role":"assistant"}},{"index":0,"delta":{}}]}` + "\n"},
		{"a role elsewhere stays", "text/event-stream",
			`data: {"role":"x","choices":[{"role":"y","delta":{"content":"{\"role\":1}","tool":{"role":"z"}}}]}` + "\n",
			`data: {"role":"x","choices":[{"role":"y","delta":{"content":"{\"role\":1}","tool":{"role":"z"}}}]}` + "\n"},
		{"role in the second delta", "text/event-stream",
			`data: {"choices":[{"delta":{"content":""}}]}` + "\n\n" + `data: {"choices":[{"delta":{"role":null}}]}` + "\n\n" + `data: {"choices":[{"delta":{"role":"assistant","content":"a"}}]}` + "\n",
			`data: {"choices":[{"delta":{"content":""}}]}` + "\n\n" + `data: {"choices":[{"delta":{"role":null}}]}` + "\n\n" + `data: {"choices":[{"delta":{"content":"a"}}]}` + "\n"},
		{"another role is news, and so is the next one", "text/event-stream",
			`data: {"choices":[{"delta":{"role":"tool"}}]}` + "\n\n" + `data: {"choices":[{"delta":{"role":"assistant"}}]}` + "\n",
			`data: {"choices":[{"delta":{"role":"tool"}}]}` + "\n\n" + `data: {"choices":[{"delta":{"role":"assistant"}}]}` + "\n"},
		{"the index behind the delta", "text/event-stream",
			`data: {"choices":[{"delta":{"role":"assistant","x":[{"role":"y"}]},"index":1},{"delta":{"role":"assistant"},"index" : 0 }]}` + "\n",
			`data: {"choices":[{"delta":{"role":"assistant","x":[{"role":"y"}]},"index":1},{"delta":{},"index" : 0 }]}` + "\n"},
		{"half a delta", "text/event-stream", `data: {"choices":[{"delta":{"role":"assistant","conte` + "\n\n", `data: {"choices":[{"delta":{"role":"assistant","conte` + "\n\n"},
		{"half a role", "text/event-stream", `data: {"choices":[{"delta":{"role":"assist`, `data: {"choices":[{"delta":{"role":"assist`},
		{"no JSON", "text/event-stream", `data: {"choices":[{"delta":{"role":"assistant"]}` + "\n\n", `data: {"choices":[{"delta":{"role":"assistant"]}` + "\n\n"},
		{"a long delta", "text/event-stream",
			`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"` + long + `"}}]}` + "\n",
			`data: {"choices":[{"index":0,"delta":{"content":"` + long + `"}}]}` + "\n"},
		{"a long delta with the role behind", "text/event-stream",
			`data: {"choices":[{"index":0,"delta":{"content":"` + long + `","role":"assistant"}}]}` + "\n",
			`data: {"choices":[{"index":0,"delta":{"content":"` + long + `"}}]}` + "\n"},
		{"a long delta without an index", "text/event-stream",
			`data: {"choices":[{"delta":{"role":"assistant","content":"` + long + `"}}]}` + "\n",
			`data: {"choices":[{"delta":{"content":"` + long + `"}}]}` + "\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			for _, pieces := range [][]string{{c.body}, strings.SplitAfter(c.body, ""), {"", c.body[:len(c.body)/2], c.body[len(c.body)/2:]}} {
				if len(pieces) > 5000 {
					continue
				}
				got, status, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
					answer(200, c.media, pieces...)(w)
					return nil
				})
				if got != c.want || err != nil || status != 200 {
					t.Fatalf("got %d %v\n%q\nwant\n%q", status, err, got, c.want)
				}
			}
		})
	}
}

// TestCutStreamIsCut: a clean end would make half an answer look whole.
func TestCutStreamIsCut(t *testing.T) {
	event := `data: {"choices":[{"delta":{"content":"a"}}]}` + "\n\n"
	cut := fmt.Errorf("%w: connection reset", http.ErrAbortHandler)
	for _, c := range []struct {
		reason string
		header map[string]string
		body   string
		err    error
		abort  bool
		want   string
	}{
		{"after an event", map[string]string{"Content-Type": eventStream}, event, cut, true, event},
		{"in the middle of a line", map[string]string{"Content-Type": eventStream}, event + "data: {", cut, true, event + "data: {"},
		{"shorter than it said", map[string]string{"Content-Type": eventStream, "Content-Length": "1000"}, event, nil, true, event},
		{"as long as it said", map[string]string{"Content-Type": eventStream, "Content-Length": fmt.Sprint(len(event))}, event, nil, false, event},
		{"before any byte went out", map[string]string{"Content-Type": eventStream}, "", cut, false, chatFailure("the backend did not answer", "server_error", `"502"`)},
		{"before it was known", nil, "da", cut, false, chatFailure("the backend did not answer", "server_error", `"502"`)},
		{"in a JSON answer", map[string]string{"Content-Type": "application/json"}, `{"choices":[`, cut, false, chatFailure("the backend did not answer", "server_error", `"502"`)},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, status, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				answer(200, "", c.body)(w)
				return c.err
			})
			want := http.StatusOK
			if !c.abort && c.err != nil {
				want = http.StatusBadGateway // what the client was shown
			}
			if got != c.want || errors.Is(err, http.ErrAbortHandler) != c.abort || status != want {
				t.Errorf("got %d %v\n%q\nwant\n%q", status, err, got, c.want)
			}
		})
	}
}

// refusedError is the error of a backend that answers too late.
type refusedError struct{}

func (refusedError) Error() string { return "dial tcp 10.0.0.1:8080: i/o timeout" }

func TestFailureOfTheHandler(t *testing.T) {
	for _, c := range []struct {
		reason string
		err    error
		status int
		want   string
	}{
		{"an error for clients", fmt.Errorf("forwarding: %w", refusedError{}), 504, chatFailure("the backend did not respond in time", "server_error", `"504"`)},
		{"any other error says nothing", errors.New("dial tcp 10.0.0.1:8080: connection refused"), 502, chatFailure("the backend did not answer", "server_error", `"502"`)},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, status, err := spliced(t, &openAIChat, chatBody, func(http.ResponseWriter) error { return c.err })
			if got != c.want || status != c.status || err != nil {
				t.Errorf("got %d %v %q", status, err, got)
			}
		})
	}
}

// A backend that sends the head of an answer which becomes a failure, and then nothing, is
// given up: what it said is shown. One that answers with JSON is waited for.
func TestAFailureThatStallsIsShown(t *testing.T) {
	for _, c := range []struct {
		reason string
		status int
		coding string
		body   string // that comes
		rest   time.Duration
		want   string
		took   time.Duration
	}{
		{"an error without its body", 503, "", "", time.Hour, chatFailure("Service Unavailable", "server_error", `"503"`), 5 * time.Second},
		{"half of it", 429, "", "slow dow", time.Hour, chatFailure("slow dow", "invalid_request_error", `"429"`), 5 * time.Second},
		{"a page in place of a stream", 200, "", "<html>", time.Hour, chatFailure("<html>", "server_error", `"502"`), 5 * time.Second},
		{"a coding that no one asked for", 200, "br", "", time.Hour, chatFailure("the backend did not answer with a stream", "server_error", `"502"`), 5 * time.Second},
		{"an error that comes in time", 500, "", "broken", 4 * time.Second, chatFailure("broken", "server_error", `"500"`), 4 * time.Second},
		{"JSON that takes its time", 200, "", `{"id":`, time.Hour, "", time.Hour},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				text, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
					ctx, giveUp := context.WithCancel(t.Context())
					defer giveUp()
					w.(*Splicer).GiveUp = giveUp
					w.Header().Set("Content-Encoding", c.coding)
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
					select {
					case <-time.After(c.rest):
					case <-ctx.Done():
					}
					return ctx.Err()
				})
				if took := time.Since(start); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if c.want != "" && text != c.want || err != nil {
					t.Errorf("got %v and %swant %s", err, text, c.want)
				}
			})
		})
	}
}

func TestInformationalAnswersAreNotTheAnswer(t *testing.T) {
	got, status, _ := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
		w.WriteHeader(100)
		w.WriteHeader(103)
		answer(503, "", "busy")(w)
		w.WriteHeader(200)
		return nil
	})
	if status != 503 || got != chatFailure("busy", "server_error", `"503"`) {
		t.Errorf("got %d %q", status, got)
	}
}

// TestLongAnswersAreBounded: a backend cannot make us keep more than the bound, nor read forever.
func TestLongAnswersAreBounded(t *testing.T) {
	for _, c := range []struct {
		reason, media, first string
		status, bound        int
		want                 string
	}{
		{"JSON", "application/json", "{\"a\":\"", 200, maxAnswer, chatFailure("the backend's answer is too large", "server_error", `"502"`)},
		{"an error", "text/plain", "", 500, maxFailure, chatFailure(strings.Repeat("x", 4096), "server_error", `"500"`)},
	} {
		t.Run(c.reason, func(t *testing.T) {
			piece, first := []byte(strings.Repeat("x", 32<<10)), []byte(c.first)
			got, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
				w.Header().Set("Content-Type", c.media)
				w.WriteHeader(c.status)
				_, _ = w.Write(first)
				for written := 0; ; written += len(piece) {
					if _, err := w.Write(piece); err != nil {
						return fmt.Errorf("%w: copying: %w", http.ErrAbortHandler, err)
					}
					if written > c.bound {
						t.Fatal("reads forever")
					}
				}
			})
			if got != c.want || err != nil {
				t.Errorf("got %v %.200q", err, got)
			}
		})
	}
}

// The time that an answer takes grows with its length, not with its square.
func TestHostileAnswersAreQuick(t *testing.T) {
	start := time.Now()
	body := `{"choices":[{` + strings.Repeat(`"message":{},`, 80_000) + `"index":0}]}`
	if !chatAnswer(nil, 0, []byte(body), &events{send: func([]byte) error { return nil }}) {
		t.Error("it is an answer")
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%d bytes took %v", len(body), took)
	}
}

// TestConversionTakesLittleMemory: whatever the backend answers, no more is there at a time
// than what was reserved for it, however many events it becomes.
func TestConversionTakesLittleMemory(t *testing.T) {
	const size = 1 << 20
	long := strings.Repeat("x", size)
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		body    string
	}{
		{"text", &openAIResponses, `{"object":"response","output":[{"type":"message","content":[{"text":"` + long + `"}]}]}`},
		{"parts", &openAIResponses, `{"object":"response","output":[{"type":"message","content":[` + strings.Repeat("0,", size/2) + `0]}]}`},
		{"items", &openAIResponses, `{"object":"response","output":[` + strings.Repeat("{},", size/3) + `{}]}`},
		{"arguments", &openAIResponses, `{"object":"response","output":[{"type":"function_call","arguments":"` + long + `"}]}`},
		{"an item of another kind", &openAIResponses, `{"object":"response","output":[{"type":"x","x":"` + long + `"}]}`},
		{"text", &openAIChat, `{"choices":[{"message":{"content":"` + long + `"}}]}`},
		{"tool calls", &openAIChat, `{"choices":[{"message":{"tool_calls":[` + strings.Repeat("{},", size/3) + `{}]}}]}`},
		{"choices", &openAIChat, `{"choices":[` + strings.Repeat("{},", size/3) + `{"message":{}}]}`},
		{"text", &anthropic, `{"type":"message","content":[{"type":"text","text":"` + long + `"}]}`},
		{"input", &anthropic, `{"type":"message","content":[{"type":"tool_use","input":{"a":"` + strings.Repeat("<", size) + `"}}]}`},
		{"quotes in the input", &anthropic, `{"type":"message","content":[{"type":"tool_use","input":{"a":"` + strings.Repeat(`\"`, size/2) + `"}}]}`},
		{"blocks", &anthropic, `{"type":"message","content":[` + strings.Repeat("{},", maxItems-1) + `{}]}`},
		{"a list", &gemini, `[{"candidates":[]},` + strings.Repeat("{},", size/3) + `{}]`},
		{"text", &openAICompletions, `{"choices":[{"text":"` + long + `"}]}`},
		{"text", &ollamaChat, `{"done":true,"message":{"content":"` + long + `"}}`},
	} {
		t.Run(c.dialect.name+"/"+c.reason, func(t *testing.T) {
			most, longest := 0, len(c.body)*5/4+2*piece
			to := events{send: func(b []byte) error {
				most = max(most, cap(b))
				return nil
			}}
			if !c.dialect.answer(&Request{dialect: c.dialect}, 0, []byte(c.body), &to) {
				t.Fatal("it is an answer")
			}
			to.flush()
			if most > longest {
				t.Errorf("%d bytes became one of %d", len(c.body), most)
			}
		})
	}
}

// TestAnyJSONIsAnEventAsItComes: where the API is not known, a whole answer of any size passes.
func TestAnyJSONIsAnEventAsItComes(t *testing.T) {
	body := "\n{\r\n \"data\": [\n" + strings.Repeat("  {\"index\": 1},\n", maxAnswer/16) + "  {}\n]}\n"
	got, status, err := spliced(t, &eventSource, "", func(w http.ResponseWriter) error {
		p := w.(*Splicer)
		p.memory = &little{left: maxLine}
		answer(200, "application/json", body[:1], body[1:100], body[100:])(w)
		return nil
	})
	want := "data: " + strings.TrimLeft(strings.NewReplacer("\n", "", "\r", "").Replace(body), " ") + "\n\n"
	if got != want || status != 200 || err != nil {
		t.Errorf("got %d %v and %d bytes, want %d", status, err, len(got), len(want))
	}
	if _, _, err := spliced(t, &eventSource, "", func(w http.ResponseWriter) error {
		answer(200, "application/json", body[:100])(w)
		return http.ErrAbortHandler
	}); !errors.Is(err, http.ErrAbortHandler) {
		t.Errorf("half a document ends with %v", err)
	}
	for _, status := range []int{200, 202, 204} {
		got, _, err := spliced(t, &eventSource, "", func(w http.ResponseWriter) error {
			w.WriteHeader(status)
			return nil
		})
		if got != "" || err != nil {
			t.Errorf("an empty %d: got %v %q", status, err, got)
		}
	}
}

// TestClientThatLeavesAfterTheEndHasItsAnswer: some close the connection at [DONE].
func TestClientThatLeavesAfterTheEndHasItsAnswer(t *testing.T) {
	_, _, err := spliced(t, &openAIChat, chatBody, func(w http.ResponseWriter) error {
		answer(200, eventStream, chatChunk2)(w)
		p := w.(*Splicer)
		ctx, leave := context.WithCancel(p.ctx)
		p.ctx = ctx
		leave()
		return nil
	})
	if err != nil {
		t.Errorf("got %v", err)
	}
}

func TestClientThatLeavesGetsNoMore(t *testing.T) {
	c, err := Compile(Options{Message: "m"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s, err := c.Open(w, Request{dialect: &openAIChat}, unknown)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	p := s.Splice(httptest.NewRequest("POST", "/", nil).WithContext(ctx), plenty{})
	leave()
	before := w.Body.Len()
	if err := p.Close(errors.New("cancelled"), http.StatusBadGateway, ""); !errors.Is(err, context.Canceled) || w.Body.Len() != before {
		t.Errorf("got %v and %q", err, w.Body.String()[before:])
	}
}

func TestBrokenClientEndsTheCopy(t *testing.T) {
	c, err := Compile(Options{Message: "m", Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Open(&fragile{ResponseRecorder: httptest.NewRecorder(), writes: 2}, Request{dialect: &eventSource}, unknown)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Splice(httptest.NewRequest("GET", "/", nil), plenty{})
	p.Header().Set("Content-Type", eventStream)
	for range 2 {
		if _, err := io.WriteString(p, "data: x\n\n"); err == nil {
			t.Error("the handler is not told")
		}
	}
	if err := p.Close(nil, 0, ""); !errors.Is(err, http.ErrAbortHandler) {
		t.Errorf("got %v", err)
	}
}

func TestSplicerCannotBeHijacked(t *testing.T) {
	var w http.ResponseWriter = &Splicer{}
	if _, ok := w.(http.Hijacker); ok {
		t.Error("hijacker")
	}
	if _, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		t.Error("unwraps")
	}
	if _, ok := w.(http.Flusher); !ok {
		t.Error("no flusher")
	}
}

func TestWriteErrorBeforeTheCommit(t *testing.T) {
	const (
		openAI = `{"error":{"message":"m \"q\"","type":"server_error","param":null,"code":"503"}}`
		claude = `{"type":"error","error":{"type":"overloaded_error","message":"m \"q\""}}`
		google = `{"error":{"code":503,"message":"m \"q\"","status":"UNAVAILABLE"}}`
		text   = `{"error":"m \"q\""}`
		flat   = `{"object":"error","message":"m \"q\"","type":"server_error","param":null,"code":"503"}`
	)
	for want, paths := range map[string][]string{
		openAI: {
			"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/responses/resp_1/cancel", "/v1/embeddings", "/openai/deployments/x/embeddings",
			"/v1/models", "/v1/models/", "/v1/models/meta/llama", "/team/v1/models", "/api/v0/models", "/v1/audio/transcriptions", "/v1/images/generations",
			"/v1/rerank", "/tokenize", "/infill",
		},
		claude: {"/v1/messages", "/anthropic/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches/b/results", "/v1/projects/p/models/c:rawPredict"},
		google: {
			"/v1beta/models/g:generateContent", "/v1/models/g:generateContent", "/v1beta/models/g:streamGenerateContent", "/v1beta/models/g:countTokens",
			"/v1beta/models/e:embedContent", "/v1beta/models", "/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
		},
		text: {"/api/chat", "/api/generate", "/api/tags", "/api/show", "/api/ps", "/api/embed", "/api/embeddings", "/api/blobs/sha256:1", "/ollama/api/version", "/generate"},
		flat: {"/v2/chat", "/v1/agents/completions", "/v2/rerank", "/model/m/converse"},
		"":   {"/", "/api/users", "/models", "/v1/modelship", "/API/tags", "/api//tags", "/apis/tags2", "/v1/Embeddings"},
	} {
		for _, path := range paths {
			w := httptest.NewRecorder()
			w.Header().Set("Retry-After", "5")
			known := WriteError(w, httptest.NewRequest("GET", path, nil), 503, `m "q"`)
			if known != (want != "") || w.Body.String() != want {
				t.Errorf("%s: %v %s", path, known, w.Body)
			}
			if known && (w.Code != 503 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Retry-After") != "5") {
				t.Errorf("%s: %d %v", path, w.Code, w.Header())
			}
		}
	}
}

// plenty is memory without end.
type plenty struct{}

func (plenty) Reserve(int) bool { return true }
func (plenty) Release(int)      {}

// little is memory that ends.
type little struct{ left int }

func (l *little) Reserve(n int) bool {
	if n > l.left {
		return false
	}
	l.left -= n
	return true
}

func (l *little) Release(n int) { l.left += n }

// TestWholeAnswersShareMemory: one that finds none left is a failure, and all of
// it comes back. What a compressed one becomes counts.
func TestWholeAnswersShareMemory(t *testing.T) {
	const all = 256 << 10
	for _, test := range []struct {
		coding string
		size   int
		fits   bool
	}{{"", 10 << 10, true}, {"", 160 << 10, false}, {"gzip", 10 << 10, true}, {"gzip", 160 << 10, false}, {"deflate", 160 << 10, false}} {
		c, err := Compile(Options{Message: "m"})
		if err != nil {
			t.Fatal(err)
		}
		w, memory := httptest.NewRecorder(), &little{left: all}
		// Events of Anthropic need all of the answer.
		s, err := c.Open(w, Request{dialect: &anthropic}, unknown)
		if err != nil {
			t.Fatal(err)
		}
		p := s.Splice(httptest.NewRequest("POST", "/", nil), memory)
		p.Header().Set("Content-Type", "application/json")
		answer := `{"type":"message","content":[{"type":"text","text":"` + strings.Repeat("x", test.size) + `"}]}`
		if test.coding != "" {
			p.Header().Set("Content-Encoding", test.coding)
			answer = strings.Join(compressed(t, test.coding, answer), "")
		}
		_, _ = io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{strings.NewReader(answer)}, make([]byte, 1000)) // Close shows the result
		if test.fits && memory.left > all-2*test.size {
			t.Errorf("%+v: %d bytes are held", test, all-memory.left)
		}
		if err := p.Close(nil, 0, ""); err != nil {
			t.Error(err)
		}
		if strings.Contains(w.Body.String(), "xxx") != test.fits || strings.Contains(w.Body.String(), "too many answers are held back") == test.fits {
			t.Errorf("%+v: got %.200s", test, w.Body)
		}
		if memory.left != all {
			t.Errorf("%+v: %d bytes did not come back", test, all-memory.left)
		}
	}
}

// FuzzSplice: whatever the backend writes, in whatever pieces, the client gets
// the same bytes and the same end.
func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		chatChunk1 + chatChunk2, chatJSON, openAIError, "", "data", "da", "<html>", `{"choices":[{"message":{"role":"a","tool_calls":[{},1]}}]}`,
		"data: {\"choices\":[{\"delta\":{\"role\":1}}]}\r\n\r\ndata: {\n", "{}\n{}\n", `[{"candidates":[]},{"error":1}]`, ":\n\n",
	} {
		for kind := range byte(4) {
			f.Add([]byte(seed), []byte{1, 3, 0, 7}, byte(3), kind, false)
		}
	}
	medias := []string{"text/event-stream", "application/json", "", "text/html", "application/x-ndjson"}
	all := []*Dialect{&eventSource, &openAIChat, &openAICompletions, &openAIResponses, &anthropic, &ollamaChat, &ollamaGenerate, &gemini}
	// The two streams may be opened in different seconds.
	created := regexp.MustCompile(`"created(_at)?":(\d+|"[^"]*")`)
	between := regexp.MustCompile(`"(\},"finish_reason":null\}\]\}|,"logprobs":null,"finish_reason":null\}\]\}|\}?,"done":false\})\n\n?(data: )?` +
		`\{("id":"",)?("object":"[^"]*",)?("model":"[^"]*")?,*("model":"[^"]*",?)?("choices":\[\{"index":0,("delta":\{"content":|"text":)|"message":\{"role":"assistant","content":|"response":)"`)
	f.Fuzz(func(t *testing.T, body, cuts []byte, dialect, media byte, fails bool) {
		d := all[int(dialect)%len(all)]
		var failed error
		if fails {
			failed = http.ErrAbortHandler
		}
		run := func(pieces ...[]byte) (string, bool) {
			text, _, err := spliced(t, d, `{"stream":true,"messages":[1],"prompt":"p"}`, func(w http.ResponseWriter) error {
				w.Header().Set("Content-Type", medias[int(media)%len(medias)])
				w.WriteHeader(200)
				for _, piece := range pieces {
					if _, err := w.Write(piece); err != nil {
						break
					}
				}
				return failed
			})
			// A text becomes as many events as it has pieces.
			return between.ReplaceAllString(created.ReplaceAllString(text, ""), ""), err != nil
		}
		var pieces [][]byte
		rest := body
		for _, cut := range cuts {
			n := min(int(cut), len(rest))
			pieces, rest = append(pieces, rest[:n:n]), rest[n:]
		}
		pieces = append(pieces, rest)
		one, oneEnd := run(body)
		many, manyEnd := run(pieces...)
		if one != many || oneEnd != manyEnd {
			t.Errorf("whole: %v\n%q\npieces: %v\n%q", oneEnd, one, manyEnd, many)
		}
	})
}

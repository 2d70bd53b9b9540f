package clienterror

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/interceptor/accept"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// defaultRetryAfter is what a 503 says when its cause does not know better.
const defaultRetryAfter = 5 * time.Second

// Write answers r with a failure in the shape that its client understands. That is gRPC trailers,
// Connect's error or a page for browsers. For others it is the JSON error of the API of the path,
// an RFC 9457 problem, or plain text. The response must not be committed yet. The client gets
// only status, message and Retry-After, which is sent if the failure has one, and with every 503.
// HEAD gets no body.
func Write(w http.ResponseWriter, r *http.Request, e *Error) {
	// Messages may quote what a client sent.
	status, message, retryAfter := e.Status, strings.ToValidUTF8(e.Message, "\uFFFD"), e.RetryAfter
	if retryAfter <= 0 && status == http.StatusServiceUnavailable {
		retryAfter = defaultRetryAfter
	}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((retryAfter+time.Second-1)/time.Second), 10))
	}
	// A failure is of this moment and of this client.
	w.Header().Set("Cache-Control", "no-store")

	switch {
	case accept.GRPC(r.Header):
		writeGRPC(w, mediaType(r.Header.Get("Content-Type")), status, message)
	case accept.Connect(r):
		writeConnect(w, r, status, message)
	case page.IsNavigation(r), page.IsForm(r):
		// Before the API of the path: web applications have a /messages page, and
		// no API's client asks for text/html as a browser does.
		page.WriteError(w, r, status, message, retryAfter)
	case !namesProblem(r.Header) && stream.WriteError(w, r, status, message):
	case prefersJSON(r.Header):
		writeProblem(w, r, status, message)
	default:
		writeBody(w, r, status, "text/plain; charset=utf-8", []byte(message+"\n"))
	}
}

// smallHead is what the fields that Fields keeps may take in memory. A browser's take
// 2 to 3 KiB without its cookies.
const smallHead = 4 << 10

// deciding are fields that tell clients apart. Fields keeps them before all others, so that
// a head of many tiny fields cannot push them out.
var deciding = append([]string{
	"Accept", "Authorization", "Connect-Protocol-Version", "Content-Type", "Origin", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Upgrade", "Upgrade-Insecure-Requests", "User-Agent", "X-Api-Key", "X-Requested-With",
}, page.ScriptHeaders[:]...)

// Fields returns a copy of a request's header without its largest fields, in little memory.
// What tells clients apart is short, so that Write answers alike by the copy.
func Fields(header http.Header) http.Header {
	size := func(name string) (n int) {
		for _, value := range header[name] {
			n += len(name) + len(value) + httpserver.FieldMemory
		}
		return n
	}
	rank := func(name string) int {
		if slices.Contains(deciding, name) {
			return 0
		}
		return 1
	}
	names := slices.SortedFunc(maps.Keys(header), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(size(a), size(b)), strings.Compare(a, b))
	})
	kept := make(http.Header)
	left := smallHead
	for _, name := range names {
		n := size(name)
		if n > left {
			continue
		}
		left -= n
		for _, value := range header[name] {
			kept[name] = append(kept[name], strings.Clone(value))
		}
	}
	return kept
}

// writeGRPC answers trailers-only: the status in the header block, no body (gRPC over HTTP/2,
// "Trailers-Only"; gRPC-Web reads it alike). The HTTP status is 200, because clients derive a
// gRPC status from any other.
func writeGRPC(w http.ResponseWriter, contentType string, status int, message string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Grpc-Status", strconv.Itoa(grpcCode(status)))
	h.Set("Grpc-Message", percentEncode(message))
	w.WriteHeader(http.StatusOK)
}

// grpcCode returns the gRPC status code of an HTTP status. A wait that ran out is
// DEADLINE_EXCEEDED, and a backend that cannot be reached now is UNAVAILABLE. The rest follows
// gRPC's own table (http-grpc-status-mapping.md).
func grpcCode(status int) int {
	switch status {
	case http.StatusGatewayTimeout:
		return 4 // DEADLINE_EXCEEDED
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return 14 // UNAVAILABLE
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusBadRequest, http.StatusInternalServerError:
		return 13 // INTERNAL
	default:
		return 2 // UNKNOWN
	}
}

// percentEncode encodes a Grpc-Message: printable ASCII but the percent sign
// stands for itself.
func percentEncode(message string) string {
	var out strings.Builder
	for _, b := range []byte(message) {
		if b < ' ' || b > '~' || b == '%' {
			fmt.Fprintf(&out, "%%%02X", b)
			continue
		}
		out.WriteByte(b)
	}
	return out.String()
}

// problem is a problem detail (RFC 9457) whose type says no more than its
// status.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title,omitempty"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, message string) {
	body, err := json.Marshal(problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: message})
	if err != nil {
		// Strings and a number always marshal; without the detail it is still a problem.
		body = []byte(`{"type":"about:blank"}`)
	}
	writeBody(w, r, status, "application/problem+json", append(body, '\n'))
}

// writeBody writes a whole response. It ignores errors: at this point they only mean that the
// client has left.
func writeBody(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// plain are the ranges that text/plain belongs to; the last one that a client sends counts
// (RFC 9110, section 12.5.1).
var plain = []string{"*/*", "text/*", "text/plain"}

// namesProblem reports whether the client asks for a problem, which no API's client does.
func namesProblem(header http.Header) bool {
	for name, weight := range accept.Ranges(header) {
		if name == "application/problem+json" && weight > 0 {
			return true
		}
	}
	return false
}

// prefersJSON reports whether the client asks for JSON by name, and not rather for text.
func prefersJSON(header http.Header) bool {
	var inJSON, inText float64
	precedence := -1
	for name, weight := range accept.Ranges(header) {
		if name == "application/json" || strings.HasSuffix(name, "+json") { // RFC 6839, 3.1
			inJSON = max(inJSON, weight)
		}
		if i := slices.Index(plain, name); i >= 0 && i >= precedence {
			precedence, inText = i, weight
		}
	}
	return inJSON > 0 && inJSON >= inText
}

// mediaType is a media type without its parameters, in lower case.
func mediaType(value string) string {
	value, _, _ = strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(value))
}

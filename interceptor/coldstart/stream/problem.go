package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxMessage bounds the text of a failure.
	maxMessage = 4 << 10
	// maxProblem bounds a failure with the backend's own members. Clients that read by lines
	// take 64 KiB at most.
	maxProblem = 16 << 10
)

// problem is a failure in the terms that every API shares.
type problem struct {
	// status of the failure, 400 or more.
	status int
	// message for the client.
	message string
	// kind and code of the backend's own error; empty if it gave none. Code is a
	// JSON string or number.
	kind string
	code json.RawMessage
	// param is what OpenAI's APIs blame, a JSON string; nil if the backend gave none.
	param json.RawMessage
	// object is the backend's own error, and document what that stands in, as JSON objects;
	// nil if it gave none. Their members that an API's error does not have are kept.
	object, document []byte
	// body is all that the backend answered; nil if it gave no answer that can be read.
	body []byte
	// grpcStatus is the name that Google's APIs give to a failure; empty if the
	// backend gave none.
	grpcStatus string
}

// codeOrStatus is the backend's code, else the status as a decimal string.
func (p *problem) codeOrStatus() json.RawMessage {
	if p.code != nil {
		return p.code
	}
	return json.RawMessage(`"` + strconv.Itoa(p.status) + `"`)
}

// problemOf reads the failure from a backend's answer that cannot be spliced. The body is nil if
// it is not readable.
func problemOf(status int, body []byte) *problem {
	p := &problem{status: status}
	if data := firstData(body); data != nil {
		body = data
	}
	isJSON := json.Valid(body)
	if isJSON {
		p.read(bytes.ToValidUTF8(body, []byte("\uFFFD")), maxNesting)
	}
	// A whole answer that is merely not a stream is not a message.
	if p.message == "" && (!isJSON || status >= 400) {
		p.message = firstText(body)
	}
	if p.message == "" && status >= 400 {
		p.message = http.StatusText(status)
	}
	if p.message == "" {
		p.message = "the backend did not answer with a stream"
	}
	if p.status < 400 {
		// To the client it is a failure of what stands before it: SDKs do not
		// take an error with a status below 400 for one.
		p.status = http.StatusBadGateway
	}
	return p
}

// inUTF8 returns a text in UTF-8 that is in UTF-16. A byte order mark shows that, and so do the
// zeros of the ASCII characters at the beginning. It returns any other body as it is.
func inUTF8(body []byte) []byte {
	if len(body) < 2 || len(body)%2 != 0 {
		return body
	}
	order := binary.ByteOrder(binary.LittleEndian)
	switch a, b := body[0], body[1]; {
	case a == 0xff && b == 0xfe, a == 0xfe && b == 0xff:
		if a == 0xfe {
			order = binary.BigEndian
		}
		body = body[2:]
	case a == 0 && b >= ' ' && b <= '~':
		order = binary.BigEndian
	case b != 0 || a < ' ' || a > '~':
		return body
	}
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = order.Uint16(body[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// firstData returns the data of the first event that has a JSON document, if body is a
// stream of events.
func firstData(body []byte) []byte {
	for line := range bytes.SplitSeq(bytes.ReplaceAll(body, []byte("\r"), []byte("\n")), []byte("\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "data":
			if value = bytes.TrimSpace(value); json.Valid(value) {
				return value
			}
		case "", "event", "id", "retry":
		default:
			return nil // not a stream of events
		}
	}
	return nil
}

// The members of errors, by their plain names (plainName). The first that has a message wins.
var (
	// messageNames hold the message of an error, or what it stands in. vagueNames do only in an
	// answer whose status is an error.
	messageNames = []string{
		"error", "message", "detail", "msg", "errors", "errordescription", "errormessage", "errormsg", "errmsg", "statusmsg", "statusmessage", "faultstring",
	}
	vagueNames = []string{"reason", "title", "description"}
	// envelopeNames hold an error with its code: MiniMax, Tencent, ByteDance, Apigee.
	envelopeNames = []string{"detail", "errors", "baseresp", "response", "responsemetadata", "fault", "header", "meta", "status", "result"}
	// codeNames hold the code of an error. One of successCodes means no error.
	codeNames    = []string{"code", "errorcode", "errcode", "errno", "statuscode"}
	successCodes = []string{"0", "200", `"0"`, `"200"`}
	// successNames are true unless there is an error.
	successNames = []string{"success", "succeeded", "ok"}
)

var nameSeparators = strings.NewReplacer("_", "", "-", "")

// plainName is the name of a member without case and separators: APIs spell errorMessage,
// error_message and ErrorMessage. It is empty for a long name.
func plainName(key []byte) string {
	if len(key) > len("responsemetadata")+2 {
		return ""
	}
	return strings.ToLower(nameSeparators.Replace(string(key)))
}

// read takes message, type and code from the shapes that model servers use. OpenAI's and
// Anthropic's is {"error":{…}}. Others are {"error":"…"}, FastAPI's {"detail":…}, {"errors":[…]},
// vLLM's flat {"message":…}, and Google's [{"error":{…}}].
func (p *problem) read(body []byte, depth int) {
	if first, _ := firstElement(body); first != nil {
		body = first
	}
	if !few(body) {
		return
	}
	var inner, detail, message []byte
	envelopes := make([][]byte, len(envelopeNames))
	flat := problem{}
	succeeded, direct := false, false
	if !members(body, func(m member) {
		value, name := body[m.value:m.end], plainName(m.key)
		if !few(value) {
			return
		}
		if i := slices.Index(envelopeNames, name); i >= 0 {
			envelopes[i] = value
		}
		switch name {
		case "error":
			inner = value
		case "detail":
			detail = value
		case "message":
			message = value
		default:
			flat.note(name, value)
			direct = direct || slices.Contains(messageNames, name) && isText(value)
			succeeded = succeeded || slices.Contains(codeNames, name) && slices.Contains(successCodes, string(value)) ||
				slices.Contains(successNames, name) && string(value) == "true"
		}
	}) || succeeded && p.status < 400 && inner == nil {
		return
	}
	for i, envelope := range envelopes {
		// FastAPI puts what an application raises below detail. Its list of details says more
		// than its first message.
		inDetail := envelopeNames[i] == "detail"
		if inner != nil || depth == 0 || len(envelope) == 0 || !inDetail && (direct || isText(message)) {
			continue
		}
		if only, one := firstElement(envelope); one && !inDetail {
			envelope = only
		}
		below := problem{status: p.status}
		if envelope[0] == '{' {
			below.read(envelope, depth-1)
		}
		if below.message != "" {
			*p = below
			return
		}
	}
	own := problem{}
	if members(inner, func(m member) {
		value, name := inner[m.value:m.end], plainName(m.key)
		if name == "message" {
			own.message = sentence(value)
			return
		}
		own.note(name, value)
	}) {
		p.kind, p.code, p.param, p.grpcStatus = own.kind, own.code, own.param, own.grpcStatus
		p.object, p.document = inner, body
		flat = problem{}
	} else if inner != nil || detail != nil || message != nil {
		// A whole answer may have a message, too.
		if p.status >= 400 || inner != nil {
			p.object = body
		}
	}
	p.message = own.message
	if isStatus(text(inner)) && (isSet(message) || isSet(detail)) {
		inner = nil // Spring and Nest put the name of the status here, and the message beside it
	}
	if p.message == "" && len(inner) > 0 && inner[0] == '"' {
		p.message = sentence(inner)
	}
	for _, other := range [][]byte{detail, message} {
		if p.message == "" && !bytes.HasPrefix(other, []byte("{")) {
			p.message = sentence(other)
		}
	}
	names := messageNames
	if p.status >= 400 {
		names = slices.Concat(messageNames, vagueNames)
	}
	// Google's errors are beside a message, GraphQL's and Rails' are all there is.
	for _, other := range [][]byte{inner, message, body} {
		if p.message == "" && other != nil {
			p.message = truncate(phrase(other, names, maxNesting))
		}
	}
	if p.message != "" && p.document == nil {
		p.kind, p.code, p.param = flat.kind, flat.code, flat.param
	}
}

// isStatus reports whether a text is merely the name of a status.
func isStatus(text string) bool {
	for status := http.StatusBadRequest; status < 600; status++ {
		if text != "" && strings.EqualFold(text, http.StatusText(status)) {
			return true
		}
	}
	return false
}

// messageOf returns the message of an error whose status is that of a success; it is empty for
// anything else.
func messageOf(document []byte) string {
	p := problem{status: http.StatusOK}
	p.read(document, maxNesting)
	return p.message
}

// firstElement returns the first element of a list, and reports whether it is the only one. It
// returns nil for anything else.
func firstElement(list []byte) (first []byte, only bool) {
	n := 0
	elements(list, func(start, end int) {
		if n++; n == 1 {
			first = list[start:end]
		}
	})
	return first, n == 1
}

// maxNesting is how deep a message is looked for, maxPhrases how many of a list are joined.
const (
	maxNesting = 4
	maxPhrases = 8
)

// phrase finds the message in a value of any shape, under the first of the names that has one.
// The result is empty without one.
func phrase(value []byte, names []string, depth int) string {
	if depth == 0 || len(value) == 0 || !few(value) {
		return ""
	}
	if value[0] == '"' {
		return sentence(value)
	}
	var all []string
	if elements(value, func(start, end int) {
		if one := phrase(value[start:end], names, depth-1); one != "" && len(all) < maxPhrases {
			all = append(all, one)
		}
	}) {
		return strings.Join(all, "; ")
	}
	found := make([][]byte, len(names))
	members(value, func(m member) {
		if i := slices.Index(names, plainName(m.key)); i >= 0 {
			found[i] = value[m.value:m.end]
		}
	})
	for _, under := range found {
		if message := phrase(under, names, depth-1); message != "" {
			return message
		}
	}
	return ""
}

// note records a member that identifies the kind of failure.
func (p *problem) note(name string, value []byte) {
	switch {
	case name == "type":
		if p.kind = text(value); p.kind == "about:blank" {
			p.kind = "" // RFC 9457, 4.2.1: nothing but the status
		}
	case name == "status":
		p.grpcStatus = text(value)
	case name == "param":
		if p.param = nil; value[0] == '"' && len(value) <= maxKey {
			p.param = append(json.RawMessage(nil), value...)
		}
	case name == "code", slices.Contains(codeNames, name) && p.code == nil:
		p.code = nil
		scalar := value[0] == '"' || value[0] == '-' || value[0] >= '0' && value[0] <= '9'
		if scalar && len(value) <= maxModel {
			p.code = append(json.RawMessage(nil), value...)
		}
	}
}

// flatProblem is an error that stands in nothing. Mistral's, Cohere's and Bedrock's clients
// read its message.
func flatProblem(p *problem) []byte {
	return marshal(struct {
		Object  string          `json:"object"`
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Param   json.RawMessage `json:"param"`
		Code    json.RawMessage `json:"code"`
	}{"error", p.message, openAIType(p), p.param, p.codeOrStatus()})
}

// twirpProblem is an error of Twirp (twitchtv.github.io/twirp/docs/errors.html).
func twirpProblem(p *problem) []byte {
	code := "internal"
	if p.status < 500 {
		code = "invalid_argument"
	}
	switch p.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		code = "unavailable"
	case http.StatusGatewayTimeout:
		code = "deadline_exceeded"
	case http.StatusTooManyRequests:
		code = "resource_exhausted"
	case http.StatusNotFound:
		code = "bad_route"
	}
	return marshal(struct {
		Code string `json:"code"`
		Msg  string `json:"msg"`
	}{code, p.message})
}

// extended returns an API's error, a JSON object, with additional members of the backend's error,
// up to the bound. The texts of that error became the message.
func extended(document, own []byte) []byte {
	has := map[string]bool{"error": true, "detail": true, "message": true}
	members(document, func(m member) { has[plainName(m.key)] = true })
	out := append([]byte(nil), document[:len(document)-1]...)
	members(own, func(m member) {
		if name := plainName(m.key); (name == "" || !has[name]) && len(out)+m.end-m.start < maxProblem {
			out = appendCompact(append(out, ','), own[m.start:m.end])
		}
	})
	return marshal(json.RawMessage(append(out, '}')))
}

// sentence is a JSON value as text for people: a string's text, anything else as
// it is written.
func sentence(value []byte) string {
	if len(value) == 0 || !isSet(value) {
		return ""
	}
	var s string
	if value[0] == '"' && json.Unmarshal(value, &s) == nil {
		return truncate(s)
	}
	return truncate(string(value))
}

// firstText is the beginning of a body, if that is text.
func firstText(body []byte) string {
	s := string(body[:min(len(body), maxMessage+utf8.UTFMax)])
	s = strings.TrimSpace(truncate(s))
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return ""
	}
	return s
}

// truncate cuts a text to the bound, between characters.
func truncate(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	end := maxMessage
	for end > maxMessage-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// event is a JSON document as one server-sent event.
func event(document []byte) []byte {
	b := make([]byte, 0, len(document)+8)
	b = append(b, "data: "...)
	b = append(b, document...)
	return append(b, "\n\n"...)
}

// marshal renders values of our own, which cannot fail.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("{}")
	}
	return b
}

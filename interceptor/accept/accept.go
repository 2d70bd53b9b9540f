// Package accept reads what a client accepts. It does not know what it could be given.
package accept

import (
	"iter"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Ranges returns the media ranges of a request's Accept fields, in lower case and without
// parameters. Each comes with its weight from 0 (refused) to 1 (RFC 9110, section 12.5.1). Ranges
// ignores a weight that is not a number.
func Ranges(header http.Header) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, rest := range header["Accept"] {
			for rest != "" {
				var element string
				element, rest = cut(rest, ',')
				name, parameters := cut(element, ';')
				if name = strings.ToLower(strings.TrimSpace(name)); name != "" && !yield(name, weight(parameters)) {
					return
				}
			}
		}
	}
}

// grpc is how the media types of gRPC and gRPC-Web begin.
const grpc = "application/grpc"

// GRPC reports whether a request is a call of gRPC. Its client accepts only gRPC's own answers.
// Its body is not JSON, and call and answer may never end.
func GRPC(header http.Header) bool {
	for _, kind := range header["Content-Type"] {
		if kind = strings.TrimSpace(kind); len(kind) >= len(grpc) && strings.EqualFold(kind[:len(grpc)], grpc) {
			return true
		}
	}
	return false
}

// Connect reports whether a request is a call of the Connect protocol
// (connectrpc.com/docs/protocol). Its client reads no answer but the protocol's own.
func Connect(r *http.Request) bool {
	return r.Header["Connect-Protocol-Version"] != nil || ConnectStream(r.Header) ||
		r.Method == http.MethodGet && r.URL.Query().Get("connect") == "v1"
}

// connectStream is how the media types of Connect's streams begin.
const connectStream = "application/connect+"

// ConnectStream reports whether a call of Connect is a streaming one, whose errors are the last
// message of a 200.
func ConnectStream(header http.Header) bool {
	kind := strings.TrimSpace(header.Get("Content-Type"))
	return len(kind) >= len(connectStream) && strings.EqualFold(kind[:len(connectStream)], connectStream)
}

// weight returns the weight that the parameters of a range give to it.
func weight(parameters string) float64 {
	for parameters != "" {
		var parameter string
		parameter, parameters = cut(parameters, ';')
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && !math.IsNaN(q) {
			return max(0, min(q, 1))
		}
	}
	return 1
}

// cut slices s around the first separator outside of a quoted string.
func cut(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++
		case !quoted && s[i] == separator:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

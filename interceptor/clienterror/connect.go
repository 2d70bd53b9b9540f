package clienterror

import (
	"encoding/binary"
	"encoding/json"
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/accept"
)

// connectError is an error of the Connect protocol (connectrpc.com/docs/protocol, "Error
// codes"). Its clients take the code from the body, not from the status.
type connectError struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// connectCodes are Connect's names of the codes of gRPC that grpcCode returns.
var connectCodes = map[int]string{
	2: "unknown", 4: "deadline_exceeded", 7: "permission_denied", 12: "unimplemented",
	13: "internal", 14: "unavailable", 16: "unauthenticated",
}

// writeConnect answers a unary call with the error as JSON. It answers a streaming call, whose
// status is always 200, with the message that ends a stream.
func writeConnect(w http.ResponseWriter, r *http.Request, status int, message string) {
	failure := connectError{Code: connectCodes[grpcCode(status)], Message: message}
	if !accept.ConnectStream(r.Header) {
		body, err := json.Marshal(failure)
		if err != nil {
			body = []byte(`{"code":"unavailable"}`) // texts always marshal
		}
		writeBody(w, r, status, "application/json", body)
		return
	}
	end, err := json.Marshal(struct {
		Error connectError `json:"error"`
	}{failure})
	if err != nil {
		end = []byte(`{"error":{"code":"unavailable"}}`)
	}
	const endStream = 0b10 // a flag of the message's head, which its length follows
	head := binary.BigEndian.AppendUint32([]byte{endStream}, uint32(len(end)))
	writeBody(w, r, http.StatusOK, mediaType(r.Header.Get("Content-Type")), append(head, end...))
}

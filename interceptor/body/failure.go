package body

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
)

// failure returns what the client may know of an error of reading the body. The result wraps
// context.Canceled if the client has left. Otherwise the client has sent something that is not a
// body, such as a chunk without a size, and waits for an answer.
func (b *Body) failure(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &clienterror.Error{Status: http.StatusRequestEntityTooLarge, Message: "the request body is too large", Err: err}
	case b.request.Context().Err() != nil, b.lost(err):
		return fmt.Errorf("reading the request body: %w: %w", context.Canceled, err)
	}
	return &clienterror.Error{Status: http.StatusBadRequest, Message: "the request body could not be read", Err: err}
}

// lost reports whether an error of reading is the end of the connection or of the stream. The
// server may not have seen that end yet: net/http (Go 1.26) ends the body of an HTTP/2 request
// before its context.
func (b *Body) lost(err error) bool {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(net.Error)) {
		return true
	}
	text := err.Error()
	return b.request.ProtoMajor > 1 && (text == "client disconnected" || strings.HasPrefix(text, "stream error"))
}

package exchange

import (
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
)

// StaticResponse is a response that the interceptor gives by itself, compiled.
type StaticResponse struct {
	// Status to answer with.
	Status int
	// Header of the response; shared, never written to.
	Header http.Header
	// Body of the response, unless Files is set.
	Body []byte
	// Files holds the data of a ConfigMap when the path of the request picks
	// the body; a path without a file gets an empty body.
	Files map[string][]byte
	// Problem makes the response a 500: the ConfigMap or its key is missing.
	Problem string
}

// Serve writes the response.
func (s *StaticResponse) Serve(w http.ResponseWriter, r *http.Request) error {
	if s.Problem != "" {
		return &clienterror.Error{Status: http.StatusInternalServerError, Message: "the response of this route is not available"}
	}
	header := w.Header()
	for name, values := range s.Header {
		header[name] = append([]string(nil), values...)
	}
	body := s.Body
	if s.Files != nil {
		key := fileKey(r.URL.Path)
		body = s.Files[key]
		if s.Header.Get("Content-Type") == "" {
			if t := mime.TypeByExtension(path.Ext(key)); t != "" {
				header.Set("Content-Type", t)
			}
		}
	}
	if bodyAllowed(s.Status) {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(s.Status)
	if r.Method == http.MethodHead || !bodyAllowed(s.Status) {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// fileKey is the ConfigMap key that a request path picks.
func fileKey(p string) string {
	key := strings.TrimPrefix(p, "/")
	if key == "" {
		return "index.html"
	}
	return key
}

// bodyAllowed says whether a status may have a body (RFC 9110, 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

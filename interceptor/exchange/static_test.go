package exchange

import (
	"errors"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestStaticResponse(t *testing.T) {
	files := map[string][]byte{"index.html": []byte("<p>hi"), "a/b.json": []byte("{}")}
	for _, c := range []struct {
		reason       string
		response     StaticResponse
		method, path string
		status       int
		body, kind   string
		length       string
	}{
		{"a body", StaticResponse{Status: 200, Body: []byte("hi")}, "GET", "/x", 200, "hi", "", "2"},
		{"HEAD has the header only", StaticResponse{Status: 200, Body: []byte("hi")}, "HEAD", "/x", 200, "", "", "2"},
		{"204 has no body", StaticResponse{Status: 204, Body: []byte("hi")}, "GET", "/x", 204, "", "", ""},
		{"the root is index.html", StaticResponse{Status: 200, Files: files}, "GET", "/", 200, "<p>hi", "text/html; charset=utf-8", "5"},
		{"the path picks a file", StaticResponse{Status: 200, Files: files}, "GET", "/a/b.json", 200, "{}", "application/json", "2"},
		{"a path without a file is empty", StaticResponse{Status: 200, Files: files}, "GET", "/none", 200, "", "", "0"},
		{"the route's own type wins", StaticResponse{Status: 200, Files: files, Header: http.Header{"Content-Type": {"text/x"}}}, "GET", "/", 200, "<p>hi", "text/x", "5"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := httptest.NewRecorder()
			if err := c.response.Serve(w, httptest.NewRequest(c.method, c.path, nil)); err != nil {
				t.Fatal(err)
			}
			header := w.Result().Header
			if w.Code != c.status || w.Body.String() != c.body || header.Get("Content-Length") != c.length ||
				c.kind != "" && header.Get("Content-Type") != c.kind {
				t.Errorf("got %d %q %v", w.Code, w.Body, header)
			}
		})
	}
	t.Run("a response that cannot be given is a 500 without its reason", func(t *testing.T) {
		var failure *clienterror.Error
		err := (&StaticResponse{Problem: "ConfigMap x"}).Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if !errors.As(err, &failure) || failure.Status != 500 || failure.Message == "" || failure.Err != nil {
			t.Errorf("got %v", err)
		}
	})
}

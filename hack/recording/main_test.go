package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		`data: {"id":"","choices":[{"index":0,"delta":{"content":"."}}]}`: `data: {…"delta":{"content":"."}…}`,
		`data: {"error":{"message":"too late"}}`:                          `data: {"error":{"message":"too late"}}`,
		`data: [DONE]`:                                                    `data: [DONE]`,
		`: keepalive`:                                                     `: keepalive`,
	} {
		if got := shorten(text); got != want {
			t.Errorf("shorten(%s) = %s, want %s", text, got, want)
		}
	}
}

func TestDrawEscapesWhatTheClientReceived(t *testing.T) {
	picture := draw([]line{{2 * time.Second, `data: <script>&"`}})
	if !strings.Contains(picture, "data: &lt;script&gt;&amp;") || !strings.Contains(picture, "0%,10.00%{opacity:0}") {
		t.Errorf("the line is not in the picture:\n%s", picture)
	}
	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestPage(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	response, err := http.Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), "The application is up") {
		t.Errorf("page %q, %v", body, err)
	}
}

func TestEcho(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	conn, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	defer func() { _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	_, data, err := conn.ReadMessage()
	if err != nil || string(data) != "hello" {
		t.Errorf("echo %q, %v", data, err)
	}
}

func TestEvents(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	response, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || line != "id: 1\n" || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("first line %q of %q, %v", line, response.Header.Get("Content-Type"), err)
	}
}

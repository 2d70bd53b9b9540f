package stream

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzRole: what is JSON stays JSON, and loses nothing but one role.
func FuzzRole(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`, `{"choices": [{"delta": {"a": [1], "role" : "assistant"}, "index": 0}]}`,
		`{"choices":[{"delta":{"role":"assistant","x":{"role":"assistant"}},"index":1},{"index":0,"delta":{"role":"assistant" , "y":2}}]}`,
		`{"choices":[{"delta":{"role":null}},{"delta":{"role":"tool"}}]}`, `{"choices":{"delta":{"role":"assistant"}}}`, `[{"choices":[{"delta":{"role":"assistant"}}]}]`,
		`{"choices":[[{"delta":{"role":"assistant"}}],{"index":"0","delta":{"role":"assistant"}}]}`,
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, document []byte, n uint8) {
		if bytes.ContainsAny(document, "\r\n") {
			return
		}
		role := &roleFilter{}
		var out []byte
		for rest := []byte("data:" + string(document) + "\n"); len(rest) > 0; {
			piece := rest[:min(int(n)+1, len(rest))]
			out = append(out, role.next(piece)...)
			rest = rest[len(piece):]
		}
		out = append(out, role.rest()...)
		got := bytes.TrimSuffix(bytes.TrimPrefix(out, []byte("data:")), []byte("\n"))
		if bytes.Equal(got, document) || !json.Valid(document) {
			return
		}
		if !strings.Contains(string(document), "ssistant") {
			t.Fatalf("%s becomes %s", document, got)
		}
		var was, is any
		if json.Unmarshal(document, &was) != nil || json.Unmarshal(got, &is) != nil {
			t.Fatalf("%s becomes %s", document, got)
		}
		if roles(is) != roles(was)-1 && !reflect.DeepEqual(is, was) { // of two with the same key one was hidden
			t.Fatalf("%s becomes %s", document, got)
		}
	})
}

// roles counts the members of that name.
func roles(value any) (n int) {
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			n += roles(element)
		}
	case map[string]any:
		for key, element := range v {
			if n += roles(element); key == "role" {
				n++
			}
		}
	}
	return n
}

// TestALongDeltaIsNotHeldBack: it goes out as it comes.
func TestALongDeltaIsNotHeldBack(t *testing.T) {
	for _, head := range []string{
		`data: {"choices":[{"index":0,"delta":{"content":"`,
		`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"`,
		`data: {"choices":[{"index":1,"delta":{"role":"assistant","content":"`,
	} {
		role := &roleFilter{}
		role.next([]byte(head))
		for range 1000 {
			if got := role.next([]byte("0123456789")); string(got) != "0123456789" || len(role.held) > 0 {
				t.Fatalf("%s: %q goes out, %d bytes are held", head, got, len(role.held))
			}
		}
	}
}

// TestDeepNestingTakesNoMemory: a backend may send a megabyte of brackets in a few KiB of gzip.
func TestDeepNestingTakesNoMemory(t *testing.T) {
	role := &roleFilter{}
	line := append([]byte("data: "), bytes.Repeat([]byte("["), 1<<20)...)
	if got := append(role.next(line), role.rest()...); !bytes.Equal(got, line) {
		t.Errorf("a line of %d bytes becomes one of %d", len(line), len(got))
	}
	if got := cap(role.scanner.at); got > 2*maxDepth {
		t.Errorf("%d levels are kept", got)
	}
}

// TestChunksAreRecognizedInOneWalk: it took a minute when each choice was looked up in all of it.
func TestChunksAreRecognizedInOneWalk(t *testing.T) {
	if isChatChunk([]byte(`{"choices":[1` + strings.Repeat(",1", 128<<10) + `]}`)) {
		t.Error("numbers are not deltas")
	}
}

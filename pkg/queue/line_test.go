package queue

import (
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 3*usualLine) + "\n"
	for name, test := range map[string]struct {
		text string
		want []string
		err  error
	}{
		"nothing":                      {"", nil, io.EOF},
		"short and long ones":          {"a\n" + long + "b\n" + long, []string{"a\n", long, "b\n", long}, io.EOF},
		"as long as the buffer":        {long[2*usualLine+1:] + "a\n", []string{long[2*usualLine+1:], "a\n"}, io.EOF},
		"empty ones":                   {"\n\n", []string{"\n", "\n"}, io.EOF},
		"a short one without its end":  {"a\nb", []string{"a\n"}, io.ErrUnexpectedEOF},
		"a long one without its end":   {"a\n" + long[1:len(long)-1], []string{"a\n"}, io.ErrUnexpectedEOF},
		"one that fills it to the end": {long[2*usualLine+1 : 3*usualLine], nil, io.ErrUnexpectedEOF},
	} {
		for how, reader := range map[string]io.Reader{
			"at once": strings.NewReader(test.text), "byte by byte": iotest.OneByteReader(strings.NewReader(test.text)),
		} {
			l := newLineReader(reader)
			for _, want := range test.want {
				if got, err := l.next(); err != nil || string(got) != want {
					t.Fatalf("%s, %s: %d bytes, %v; want %d", name, how, len(got), err, len(want))
				}
			}
			if got, err := l.next(); !errors.Is(err, test.err) || got != nil {
				t.Errorf("%s, %s: %q, %v; want %v", name, how, got, err, test.err)
			}
		}
	}
	broken := newLineReader(io.MultiReader(strings.NewReader("a"), iotest.ErrReader(io.ErrNoProgress)))
	if _, err := broken.next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

// What decode takes for a bookmark without parsing it is what the handler writes.
func TestTheBookmarkLine(t *testing.T) {
	if got := string(endLine(startLine(nil, Bookmark))); got != bookmarkLine {
		t.Errorf("it is %q", got)
	}
	var e Event
	if err := json.Unmarshal([]byte(bookmarkLine), &e); err != nil || e.Type != Bookmark {
		t.Errorf("it means %v, %v", e, err)
	}
}

// A stream that said much once and little since must not keep what that took.
func TestALongLineIsNotKept(t *testing.T) {
	const streams, length = 100, 128 << 10
	text := strings.Repeat("x", length) + "\n" + bookmarkLine
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var all []lineReader
	for range streams {
		l := newLineReader(strings.NewReader(text))
		for range 2 {
			if _, err := l.next(); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, l)
	}
	if each := (heap() - before) / streams; each > 16<<10 {
		t.Errorf("a stream keeps %d bytes", each)
	}
	runtime.KeepAlive(all)
}

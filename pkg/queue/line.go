package queue

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// A line is an Event as encoding/json writes it, but in a reused buffer and without a map.
// Otherwise a snapshot of 100,000 routes would delay a cold hit. startLine, any number of
// appendCount and endLine make one.

// lineCounts is between the type of an event and its counts.
const lineCounts = `,"counts":{`

// startLine begins a line in the memory of the buffer.
func startLine(buffer []byte, t EventType) []byte {
	line := buffer[:0]
	line = append(line, `{"type":"`...)
	line = append(line, t...)
	return append(line, '"')
}

// appendCount adds a route, which must not be there yet.
func appendCount(line []byte, route string, c Count) []byte {
	if line[len(line)-1] == '"' { // after the type
		line = append(line, lineCounts...)
	} else {
		line = append(line, ',')
	}
	line = appendName(line, route)
	line = append(line, `:{"Concurrency":`...)
	line = strconv.AppendInt(line, c.Concurrency, 10)
	line = append(line, `,"RequestCount":`...)
	line = strconv.AppendInt(line, c.RequestCount, 10)
	if c.Cold {
		line = append(line, `,"Cold":true`...)
	}
	if c.Leased {
		line = append(line, `,"Leased":true`...)
	}
	return append(line, '}')
}

// endLine closes the open brackets.
func endLine(line []byte) []byte {
	if line[len(line)-1] != '"' {
		line = append(line, '}')
	}
	return append(line, '}', '\n')
}

// appendName adds a route's name as a JSON string. Names of Kubernetes need no
// escapes.
func appendName(line []byte, name string) []byte {
	plain := func(r rune) bool {
		return r == '/' || r == '-' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z'
	}
	if strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0 {
		line = append(line, '"')
		line = append(line, name...)
		return append(line, '"')
	}
	escaped, err := json.Marshal(name)
	if err != nil { // no string is an error
		escaped = []byte(`""`)
	}
	return append(line, escaped...)
}

// bookmarkLine is how a Bookmark is written.
const bookmarkLine = `{"type":"BOOKMARK"}` + "\n"

const (
	// maxLine bounds one event: some 200,000 routes.
	maxLine = 32 << 20
	// usualLine is enough for a few routes.
	usualLine = 1 << 10
)

// errLongLine is returned for a line over maxLine.
var errLongLine = errors.New("a line is too long")

// lineReader reads lines. Between two lines it keeps only the memory of a usual one, however long
// the snapshot was. A scaler reads hundreds of streams that are nearly silent after it.
type lineReader struct{ *bufio.Reader }

func newLineReader(r io.Reader) lineReader {
	return lineReader{bufio.NewReaderSize(r, usualLine)}
}

// next returns a line with its line break, which is valid until the next call, or io.EOF if there
// is none. A line without a line break is an error.
func (l lineReader) next() ([]byte, error) {
	part, err := l.ReadSlice('\n')
	var whole []byte
	for errors.Is(err, bufio.ErrBufferFull) && len(whole) <= maxLine {
		whole = append(whole, part...)
		part, err = l.ReadSlice('\n')
	}
	switch {
	case len(whole)+len(part) > maxLine:
		return nil, errLongLine
	case errors.Is(err, io.EOF) && len(whole)+len(part) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case whole == nil:
		return part, nil
	}
	return append(whole, part...), nil
}

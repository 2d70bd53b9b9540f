package process

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// maxLine bounds how much of an unfinished line is kept.
const maxLine = 64 << 10

// output writes whole lines of many processes to one writer.
type output struct {
	mu sync.Mutex
	to io.Writer
}

// copy writes the lines of r, each with the prefix, until r ends.
func (o *output) copy(prefix string, r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			o.line(prefix, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (o *output) line(prefix string, line []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	buffer := make([]byte, 0, len(prefix)+len(line)+4)
	buffer = append(append(buffer, prefix...), " | "...)
	buffer = append(append(buffer, bytes.TrimRight(line, "\r\n")...), '\n')
	_, _ = o.to.Write(buffer)
}

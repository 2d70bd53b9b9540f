package load

import (
	"bytes"
	"fmt"
	"strconv"
)

var (
	endOfHead     = []byte("\r\n\r\n")
	contentLength = []byte("content-length")
	transferCoded = []byte("transfer-encoding")
)

// Head finds the end of the head of a request or a response in b, and the length of the body that
// follows. The end is 0 if it has not arrived yet. Head knows only what the programs in a
// comparison send: any other framing than Content-Length is an error.
func Head(b []byte) (end int, length int64, err error) {
	end = bytes.Index(b, endOfHead)
	if end < 0 {
		return 0, 0, nil
	}
	for line := range bytes.SplitSeq(b[:end], endOfHead[:2]) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == len(contentLength) && bytes.EqualFold(name, contentLength):
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, 0, err
			}
		case len(name) == len(transferCoded) && bytes.EqualFold(name, transferCoded):
			return 0, 0, fmt.Errorf("the body has the transfer coding %s", value)
		}
	}
	return end + len(endOfHead), length, nil
}

// answer counts down one response, in whatever pieces it arrives.
type answer struct {
	head []byte // what came of the head, while it is not whole
	body int64  // bytes that are missing
	in   bool   // the head was whole
}

// take reports whether b ends the response. A status other than 200 is an error.
func (a *answer) take(b []byte) (whole bool, err error) {
	if !a.in {
		if len(a.head) > 0 {
			a.head = append(a.head, b...)
			b = a.head
		}
		end, length, err := Head(b)
		if err != nil {
			return false, err
		}
		if end == 0 {
			if len(a.head) == 0 {
				a.head = append(a.head, b...)
			}
			return false, nil
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
			return false, fmt.Errorf("answered %.60q", b)
		}
		a.in, a.body, b = true, length, b[end:]
	}
	a.body -= int64(len(b))
	if a.body < 0 {
		return false, fmt.Errorf("%d bytes follow the answer", -a.body)
	}
	if a.body > 0 {
		return false, nil
	}
	a.head, a.in = a.head[:0], false
	return true, nil
}

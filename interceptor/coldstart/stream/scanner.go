package stream

import "bytes"

// scanner walks JSON byte by byte. It keeps the open containers and one key, so that a
// document of any length is walked in little memory.
type scanner struct {
	at      []level // the containers around the next byte
	phase   phase
	key     []byte // of the next value, as it is written
	escaped bool   // the byte before was a backslash in a string
}

// level is an open container.
type level struct {
	key    string // under which it stands; empty in a list
	list   bool
	events bool // its elements are events of their own
	n      int  // how many elements or members have begun
	wrote  int  // how many of them went out
}

// maxDepth bounds the open containers, of which each takes memory. No answer of an API comes
// near it.
const maxDepth = 1000

type phase uint8

const (
	beforeValue phase = iota
	beforeKey
	inKey
	beforeColon
	inText
	inScalar
	afterValue
	malformed
)

// step is what a byte is.
type step uint8

const (
	between step = iota // white space, a colon, a comma, or no JSON
	ofKey
	begins // the first byte of a value
	within // of a text or a scalar
	ends   // the last byte of a text or a container
)

// next takes a byte and returns what it is. At the beginning of a value the caller calls
// enter before the next byte.
func (s *scanner) next(c byte) step {
	blank := c == ' ' || c == '\t' || c == '\n' || c == '\r'
	switch s.phase {
	case inKey:
		s.key = append(s.key, c)
		if s.textEnds(c) {
			s.phase = beforeColon
		} else if len(s.key) > maxKey {
			s.phase = malformed
		}
		return ofKey
	case inText:
		switch {
		case s.textEnds(c):
			s.phase = afterValue
			return ends
		case s.phase == malformed:
			return between
		}
		return within
	case inScalar:
		if !blank && bytes.IndexByte([]byte(",]}"), c) < 0 {
			return within
		}
		s.phase = afterValue
	case malformed:
		return between
	default:
	}
	if blank {
		return between
	}
	return s.token(c)
}

// token takes a byte between texts and scalars.
func (s *scanner) token(c byte) step {
	in := s.in()
	switch {
	case s.phase == beforeColon && c == ':':
		s.phase = beforeValue
	case s.phase == beforeKey && c == '"':
		s.key, s.phase = append(s.key[:0], c), inKey
		return ofKey
	case in != nil && c == '}' && !in.list && (s.phase == afterValue || s.phase == beforeKey && in.n == 0),
		in != nil && c == ']' && in.list && (s.phase == afterValue || s.phase == beforeValue && in.n == 0):
		s.at = s.at[:len(s.at)-1]
		s.phase = afterValue
		return ends
	case s.phase == afterValue && c == ',' && in != nil:
		if s.phase = beforeKey; in.list {
			s.phase = beforeValue
		}
	case s.phase == beforeValue && bytes.IndexByte([]byte(`{["-0123456789tfn`), c) >= 0:
		return begins
	default:
		s.phase = malformed
	}
	return between
}

// in is the container around the next byte, or nil.
func (s *scanner) in() *level {
	if len(s.at) == 0 {
		return nil
	}
	return &s.at[len(s.at)-1]
}

// enter goes into the value that begins with c.
func (s *scanner) enter(c byte) {
	in := s.in()
	if in != nil {
		in.n++
	}
	switch c {
	case '{', '[':
		if len(s.at) == maxDepth {
			s.phase = malformed
			return
		}
		below := level{list: c == '['}
		if in != nil && !in.list {
			below.key = string(unescaped(s.key))
		}
		s.at = append(s.at, below)
		if s.phase = beforeKey; below.list {
			s.phase = beforeValue
		}
	case '"':
		s.phase = inText
	default:
		s.phase = inScalar
	}
}

// textEnds reports whether a byte ends the text that it belongs to.
func (s *scanner) textEnds(c byte) bool {
	switch {
	case c < ' ':
		s.phase = malformed // a line end would end the event
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		return true
	}
	return false
}

package stream

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Most functions of this file walk JSON that json.Valid has accepted. They find where values begin
// and end without copying them: a body of many megabytes is looked at, not decoded. The scanner at
// its end walks JSON that is still arriving.

// maxKey bounds the raw keys that are unescaped; no key we know comes near it.
const maxKey = 512

// maxMembers bounds the members of an object in which an answer or an error is looked for. The
// search walks it once for each place, and no answer of an API comes near the bound.
const maxMembers = 1000

// member is one member of a JSON object. It has its unescaped key, and the places in the object's
// text where the key begins and the value begins and ends.
type member struct {
	key               []byte
	start, value, end int
}

// members calls visit for each member of the object that is the text data, in
// order, duplicates included. It says whether data is an object.
func members(data []byte, visit func(m member)) bool {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return false
	}
	for i = skipSpace(data, i+1); i < len(data) && data[i] != '}'; {
		m := member{start: i}
		keyEnd := skipString(data, i)
		m.key = unescaped(data[i:keyEnd])
		m.value = skipSpace(data, skipSpace(data, keyEnd)+1) // past the colon
		m.end = skipValue(data, m.value)
		visit(m)
		if i = skipSpace(data, m.end); i < len(data) && data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return true
}

// few reports whether a value has at most maxMembers members. All values except objects do.
func few(data []byte) bool {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return true
	}
	for n := range maxMembers + 1 {
		if i = skipSpace(data, i+1); i >= len(data) || data[i] == '}' {
			return true
		}
		if n == maxMembers {
			break
		}
		value := skipSpace(data, skipSpace(data, skipString(data, i))+1) // past the colon
		if i = skipSpace(data, skipValue(data, value)); i >= len(data) || data[i] == '}' {
			return true
		}
	}
	return false
}

// elements calls visit with the bounds of each element of the array that is the
// text data. It says whether data is an array.
func elements(data []byte, visit func(start, end int)) bool {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '[' {
		return false
	}
	for i = skipSpace(data, i+1); i < len(data) && data[i] != ']'; {
		end := skipValue(data, i)
		visit(i, end)
		if i = skipSpace(data, end); i < len(data) && data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return true
}

// field is a member of an object that is rewritten.
type field struct {
	key   string // empty if it is longer than any that we know
	value []byte
	text  []byte // key and value, as they stand in the object
}

// edit appends what becomes of a member; nothing leaves it out.
type edit func(to []byte, f field) []byte

// appendObject appends an object without white space, with each member as change appends it. It
// leaves other values as they are.
func appendObject(to, object []byte, change edit) []byte {
	start := len(to)
	to = append(to, '{')
	if !members(object, func(m member) {
		f := field{value: object[m.value:m.end], text: object[m.start:m.end]}
		if len(m.key) <= maxKey {
			f.key = string(m.key)
		}
		end := len(to)
		if end > start+1 {
			to = append(to, ',')
		}
		before := len(to)
		if to = change(to, f); len(to) == before {
			to = to[:end]
		}
	}) {
		return appendCompact(to[:start], object)
	}
	return append(to, '}')
}

// appendKey appends the key of a member.
func appendKey(to []byte, key string) []byte { return append(append(to, quote(key)...), ':') }

// appendMember appends a member.
func appendMember(to []byte, key string, value []byte) []byte {
	return appendCompact(appendKey(to, key), value)
}

// valueOf returns the value of an object's last member of that name, or nil.
func valueOf(object []byte, key string) (value []byte) {
	members(object, func(m member) {
		if string(m.key) == key {
			value = object[m.value:m.end]
		}
	})
	return value
}

// appendCompact appends a value without its white space.
func appendCompact(to, value []byte) []byte {
	to = slices.Grow(to, len(value))
	for len(value) > 0 {
		switch value[0] {
		case ' ', '\t', '\n', '\r':
			value = value[1:]
		case '"':
			end := skipString(value, 0)
			to, value = append(to, value[:end]...), value[end:]
		default:
			to, value = append(to, value[0]), value[1:]
		}
	}
	return to
}

// unescaped returns the text of a JSON string; nil if it is longer than all keys that we look
// for.
func unescaped(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	if len(quoted) > maxKey {
		return nil
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}

// skipSpace returns the index of the first byte at or after i that is not white space.
func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(data []byte, i int) int {
	for j := i + 1; ; {
		k := bytes.IndexByte(data[j:], '"')
		if k < 0 {
			return len(data)
		}
		k += j
		escapes := 0
		for k-1-escapes > i && data[k-1-escapes] == '\\' {
			escapes++
		}
		if j = k + 1; escapes%2 == 0 {
			return j
		}
	}
}

// skipValue returns the index after the value that begins at i.
func skipValue(data []byte, i int) int {
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			i = skipString(data, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i // the end of what holds a scalar
			}
			depth--
			i++
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			i++
			continue // inside a scalar, or between values
		}
		if depth == 0 {
			return i
		}
	}
	return len(data)
}

// text is the string that value holds; empty if it holds none, or one that is
// longer than a model's name may be.
func text(value []byte) string {
	// An escaped character takes six bytes and stands for at least one.
	if len(value) < 2 || value[0] != '"' || len(value) > 6*maxModel+2 {
		return ""
	}
	var s string
	if json.Unmarshal(value, &s) != nil || len(s) > maxModel {
		return ""
	}
	return s
}

// isText reports whether a value is a string that is not empty.
func isText(value []byte) bool { return len(value) > 2 && value[0] == '"' }

// isNull says that a value is null.
func isNull(value []byte) bool { return string(value) == "null" }

// isSet says that a value asks for something: it is not null, false, or empty.
func isSet(value []byte) bool {
	switch string(value) {
	case "", "null", "false", `""`:
		return false
	}
	if value[0] == '{' || value[0] == '[' {
		return skipSpace(value, 1) != len(value)-1
	}
	return true
}

// quote is s as a JSON string: HTML, U+2028 and invalid UTF-8 are escaped.
func quote(s string) []byte {
	q, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // strings always marshal
	}
	return q
}

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

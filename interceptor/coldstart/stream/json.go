package stream

import (
	"bytes"
	"encoding/json"
	"slices"
)

// The functions of this file walk JSON that json.Valid has accepted. They find
// where values begin and end without copying them: a body of many megabytes is
// looked at, not decoded.

// maxKey bounds the raw keys that are unescaped; no key we know comes near it.
const maxKey = 512

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
	case "null", "false", `""`:
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

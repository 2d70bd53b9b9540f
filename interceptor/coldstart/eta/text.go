package eta

import "strings"

// The placeholders of a text.
const (
	elapsed  = "{elapsed}"
	estimate = "{estimate}"
)

// unknown stands for an estimate that nobody has, in a text that did not say
// what to leave out then.
const unknown = "…"

// Text is a text that may hold {elapsed} and {estimate}. What stands in square
// brackets around an {estimate} is left out, with the brackets, while there is no
// estimate: "{elapsed}[ of about {estimate}]" is "12 s" or "12 s of about 40 s".
// Brackets around anything else, and other braces, are text. Brackets do not nest.
//
// A Text is immutable. The zero Text is empty.
type Text struct{ pieces []piece }

// piece is a part of a Text.
type piece struct {
	kind kind
	text string // of a literal
	// known says that the piece is shown only while there is an estimate.
	known bool
}

type kind uint8

const (
	literal kind = iota
	elapsedTime
	estimatedTime
)

// ParseText reads a text. Each stretch of it that stands for itself goes through
// escape, which makes it part of what the text will stand in; what stands in for
// placeholders is letters, digits, spaces and "…".
func ParseText(s string, escape func(string) string) Text {
	var t Text
	for s != "" {
		open, end, ok := optional(s)
		if !ok {
			t.add(s, false, escape)
			break
		}
		t.add(s[:open], false, escape)
		t.add(s[open+1:end], true, escape)
		s = s[end+1:]
	}
	return t
}

// optional finds the first pair of brackets around an {estimate}.
func optional(s string) (open, end int, ok bool) {
	at := strings.Index(s, estimate)
	if at < 0 {
		return 0, 0, false
	}
	open = strings.LastIndexAny(s[:at], "[]")
	length := strings.IndexAny(s[at:], "[]")
	if open >= 0 && s[open] == '[' && length >= 0 && s[at+length] == ']' {
		return open, at + length, true
	}
	// This one stands for itself; a later one may be optional.
	past := at + len(estimate)
	open, end, ok = optional(s[past:])
	return past + open, past + end, ok
}

// add appends a stretch without brackets of ours.
func (t *Text) add(s string, known bool, escape func(string) string) {
	for s != "" {
		next, placeholder := len(s), literal
		for name, k := range map[string]kind{elapsed: elapsedTime, estimate: estimatedTime} {
			if at := strings.Index(s, name); at >= 0 && at < next {
				next, placeholder = at, k
			}
		}
		if next > 0 {
			t.pieces = append(t.pieces, piece{kind: literal, text: escape(s[:next]), known: known})
		}
		switch placeholder {
		case literal:
			return
		case elapsedTime:
			s = s[next+len(elapsed):]
		case estimatedTime:
			s = s[next+len(estimate):]
		}
		t.pieces = append(t.pieces, piece{kind: placeholder, known: known})
	}
}

// Dynamic reports whether the text changes while a target wakes: it has placeholders.
func (t Text) Dynamic() bool {
	for _, p := range t.pieces {
		if p.kind != literal {
			return true
		}
	}
	return false
}

// ShowsEstimate reports whether the text has a place for the estimate.
func (t Text) ShowsEstimate() bool {
	for _, p := range t.pieces {
		if p.kind == estimatedTime {
			return true
		}
	}
	return false
}

// Append appends the text as it reads now.
func (t Text) Append(to []byte, now Progress) []byte {
	about := now.EstimateText()
	for _, p := range t.pieces {
		switch {
		case p.known && about == "":
		case p.kind == literal:
			to = append(to, p.text...)
		case p.kind == elapsedTime:
			to = append(to, now.ElapsedText()...)
		case about == "":
			to = append(to, unknown...)
		default:
			to = append(to, about...)
		}
	}
	return to
}

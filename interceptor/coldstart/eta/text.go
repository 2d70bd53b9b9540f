package eta

import (
	"slices"
	"strings"
)

// The placeholders of a text.
const (
	elapsed  = "{elapsed}"
	estimate = "{estimate}"
	phase    = "{phase}"
	reason   = "{reason}"
)

// unknown replaces a missing estimate in a text without brackets around it.
const unknown = "…"

// Text is a text that may hold {elapsed}, {estimate}, {phase} and {reason}. Square brackets
// around an {estimate} or a {reason} make their content optional: without a value, it is left out
// with the brackets. "{elapsed}[ of about {estimate}]" is "12 s" or "12 s of about 40 s".
// Brackets around anything else, and other braces, are text. Brackets do not nest.
//
// A Text is immutable. The zero Text is empty.
type Text struct{ pieces []piece }

// piece is a part of a Text.
type piece struct {
	kind kind
	text string // of a literal
	// needs is what there must be for the piece to be shown.
	needs needs
}

// needs is a set of what may not be known.
type needs uint8

const (
	needsEstimate needs = 1 << iota
	needsReason
)

type kind uint8

const (
	literal kind = iota
	elapsedTime
	estimatedTime
	phaseWord
	reasonSentence
)

// ParseText reads a text. Each literal part goes through escape, which makes it safe for the
// surrounding document. Values of placeholders consist of letters, digits, spaces and "…".
func ParseText(s string, escape func(string) string) Text {
	var t Text
	for s != "" {
		open, end, ok := optional(s)
		if !ok {
			t.add(s, 0, escape)
			break
		}
		t.add(s[:open], 0, escape)
		t.add(s[open+1:end], needed(s[open+1:end]), escape)
		s = s[end+1:]
	}
	return t
}

// needed returns what there must be for a text in brackets to be shown.
func needed(s string) (all needs) {
	if strings.Contains(s, estimate) {
		all |= needsEstimate
	}
	if strings.Contains(s, reason) {
		all |= needsReason
	}
	return all
}

// optional finds the first pair of brackets around an {estimate} or a {reason}.
func optional(s string) (open, end int, ok bool) {
	at, length := strings.Index(s, estimate), len(estimate)
	if other := strings.Index(s, reason); other >= 0 && (at < 0 || other < at) {
		at, length = other, len(reason)
	}
	if at < 0 {
		return 0, 0, false
	}
	past := at + length
	open = strings.LastIndexAny(s[:at], "[]")
	closing := strings.IndexAny(s[at:], "[]")
	if open >= 0 && s[open] == '[' && closing >= 0 && s[at+closing] == ']' {
		return open, at + closing, true
	}
	// This one stands for itself; a later one may be optional.
	open, end, ok = optional(s[past:])
	return past + open, past + end, ok
}

// add appends a part without optional brackets.
func (t *Text) add(s string, needs needs, escape func(string) string) {
	for s != "" {
		next, placeholder, length := len(s), literal, 0
		for name, k := range map[string]kind{elapsed: elapsedTime, estimate: estimatedTime, phase: phaseWord, reason: reasonSentence} {
			if at := strings.Index(s, name); at >= 0 && at < next {
				next, placeholder, length = at, k, len(name)
			}
		}
		if next > 0 {
			t.pieces = append(t.pieces, piece{kind: literal, text: escape(s[:next]), needs: needs})
		}
		if placeholder == literal {
			return
		}
		s = s[next+length:]
		t.pieces = append(t.pieces, piece{kind: placeholder, needs: needs})
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
func (t Text) ShowsEstimate() bool { return t.shows(estimatedTime) }

// ShowsPhase reports whether the text has a place for the phase.
func (t Text) ShowsPhase() bool { return t.shows(phaseWord) }

// ShowsReason reports whether the text has a place for the reason.
func (t Text) ShowsReason() bool { return t.shows(reasonSentence) }

func (t Text) shows(k kind) bool {
	return slices.ContainsFunc(t.pieces, func(p piece) bool { return p.kind == k })
}

// Append appends the text as it reads now.
func (t Text) Append(to []byte, now Progress) []byte {
	about, why := now.EstimateText(), now.Stage.Reason.String()
	for _, p := range t.pieces {
		switch {
		case p.needs&needsEstimate != 0 && about == "", p.needs&needsReason != 0 && why == "":
		case p.kind == phaseWord:
			to = append(to, now.Stage.Phase.String()...)
		case p.kind == reasonSentence:
			to = append(to, why...)
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

package stream

// maxHeld bounds the bytes that are held back while the choice of a role is unknown.
const maxHeld = 16 << 10

// roleFilter removes the assistant's role from the first delta that has it, for the choice that
// we sent one for. openai-python's helper joins the roles of all deltas. That choice is 0; others
// keep theirs. Everything else passes unchanged, and after that role the filter looks at nothing.
//
// Deltas may be of any length. The filter holds back only the role, and what follows it if the
// choice has its index behind it. No server that we know does that.
type roleFilter struct {
	done    bool
	out     []byte // of next, until the next call
	matched int    // how much of "data:" the line begins with; -1: it is another one
	scanner scanner

	stage stage
	held  []byte // from the comma before a member, or from its key
	value int    // where the value of the role begins in held
	end   int    // where the removed part ends

	numbered bool   // the index of the choice is known
	first    bool   // it is 0
	counting bool   // the scanner is in the index
	index    []byte // of the choice, as it is written
}

// stage is how far a role is known.
type stage uint8

const (
	passing    stage = iota
	inMember         // a comma or a key of a delta
	inRole           // the value of the role
	behindRole       // the comma behind it goes too
	unnumbered       // the role ends at end
)

func (f *roleFilter) next(b []byte) []byte {
	if f.done {
		return b
	}
	f.out = f.out[:0]
	for i, c := range b {
		f.take(c)
		if f.done {
			return append(f.out, b[i+1:]...)
		}
	}
	return f.out
}

func (f *roleFilter) rest() []byte {
	rest := f.held
	f.held = nil
	return rest
}

// take takes a byte of a stream.
func (f *roleFilter) take(c byte) {
	const field = "data:"
	switch {
	case c == '\n' || c == '\r':
		f.release()
		f.matched, f.counting = 0, false
		f.scanner = scanner{at: f.scanner.at[:0], key: f.scanner.key[:0]}
	case f.matched == len(field):
		f.event(c)
	case f.matched >= 0 && c == field[f.matched]:
		f.matched++
	default:
		f.matched = -1
	}
	if f.stage == passing {
		f.out = append(f.out, c)
		return
	}
	f.held = append(f.held, c)
	long := len(f.held) > maxHeld
	switch {
	case f.stage == unnumbered && (f.numbered || long):
		f.decide(f.first || !f.numbered) // as good as always there is only one choice
	case long:
		f.release()
	}
}

// event takes a byte of an event's document.
func (f *roleFilter) event(c byte) {
	s := &f.scanner
	step := s.next(c)
	if f.counting && step != within {
		f.counting, f.numbered, f.first = false, true, string(f.index) == "0"
	}
	switch {
	case s.phase == malformed:
		f.release()
		f.matched = -1
	case step == between && c == ',' && f.stage == passing && f.inDelta():
		f.stage = inMember
	case step == ofKey && len(s.key) == 1 && f.inDelta():
		switch f.stage {
		case passing:
			f.stage = inMember
		case behindRole:
			f.stage, f.end = unnumbered, len(f.held)
		default:
		}
	case step == begins:
		f.begins(c)
	case step == within && f.counting && len(f.index) < 8:
		f.index = append(f.index, c)
	case step == ends && f.stage == inRole:
		f.told(c)
	case step == ends && f.stage == behindRole:
		f.stage = unnumbered
	case step == ends && f.stage == unnumbered && len(s.at) == 2 && !f.numbered:
		f.first, f.numbered = true, true // without an index it is the only one
	}
}

// inDelta reports whether the next byte is in the delta of a choice, and in nothing below it.
func (f *roleFilter) inDelta() bool {
	at := f.scanner.at
	return len(at) == 4 && f.inChoices() && at[3].key == "delta" && !at[3].list
}

// inChoices reports whether the next byte is in the list of choices.
func (f *roleFilter) inChoices() bool {
	at := f.scanner.at
	return len(at) >= 2 && at[1].key == "choices" && at[1].list
}

// begins takes the first byte of a value.
func (f *roleFilter) begins(c byte) {
	s := &f.scanner
	switch {
	case f.stage == inMember:
		if f.stage, f.value = inRole, len(f.held); c != '"' || string(unescaped(s.key)) != "role" {
			f.release()
		}
	case len(s.at) == 2 && f.inChoices():
		f.numbered = false
	case len(s.at) == 3 && f.inChoices() && string(unescaped(s.key)) == "index":
		f.counting, f.index = true, append(f.index[:0], c)
	}
	s.enter(c)
}

// told takes the last byte of a role.
func (f *roleFilter) told(c byte) {
	if string(f.held[f.value:])+string(c) != `"assistant"` {
		// A role that we have not told. The next one is news again.
		f.release()
		f.done = true
		return
	}
	f.end = len(f.held) + 1
	if f.stage = behindRole; f.held[0] == ',' {
		f.stage = unnumbered
	}
}

// decide leaves the role out, or passes it.
func (f *roleFilter) decide(out bool) {
	if out {
		f.done = true
		f.held = f.held[:copy(f.held, f.held[f.end:])]
	}
	f.release()
}

// release passes the bytes that are held back.
func (f *roleFilter) release() {
	f.out = append(f.out, f.held...)
	f.held, f.stage = f.held[:0], passing
}

package endpoints

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// ID names a pod to clients, alike in all interceptors. It is the first 8 bytes of the SHA-256 of
// the pod's UID, or of its address if there is no pod behind an endpoint. It reveals neither the
// name of a pod nor its address: a UID has 122 random bits.
type ID uint64

// idDigits is the length of the text of an ID.
const idDigits = 16

// ID returns what clients know the pod by.
func (p *Pod) ID() ID { return IDOf(p.id()) }

// IDOf returns the ID of the pod that has a UID, or of an address.
func IDOf(s string) ID {
	sum := sha256.Sum256([]byte(s))
	return ID(binary.BigEndian.Uint64(sum[:]))
}

// String returns the ID as 16 hexadecimal digits.
func (id ID) String() string {
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(id)))
}

// ParseID returns the ID that a text is, as String writes it, and reports whether it is one.
func ParseID(s string) (ID, bool) {
	if len(s) != idDigits {
		return 0, false
	}
	var id ID
	for i := range idDigits {
		digit := s[i]
		switch {
		case '0' <= digit && digit <= '9':
			digit -= '0'
		case 'a' <= digit && digit <= 'f':
			digit -= 'a' - 10
		default:
			return 0, false
		}
		id = id<<4 | ID(digit)
	}
	return id, true
}

// PickID takes the ready endpoint of a pod, whatever its load, and returns false if it is not
// ready. It takes no lock and overtakes waiters, because no other endpoint will do.
func (p *Port) PickID(id ID) (Slot, bool) {
	for _, e := range p.endpoints() {
		if e.pod == id {
			return e.issue(open, 0, false), true
		}
	}
	return Slot{}, false
}

// Await reports whether a pod is starting, and returns a channel that is closed when the
// pods of the port change.
func (p *Port) Await(id ID) (starting bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	for _, other := range p.starting {
		starting = starting || other == id
	}
	return starting, p.changed
}

// Has reports whether a pod is ready or starting. It takes no lock for one that is ready.
func (p *Port) Has(id ID) bool {
	ready := func() bool {
		return slices.ContainsFunc(p.endpoints(), func(e *endpoint) bool { return e.pod == id })
	}
	if ready() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.starting, id) || ready() // by now
}

// ID returns the ID of the Slot's pod. The Slot must be Valid.
func (s Slot) ID() ID { return s.ticket.endpoint.pod }

// Gone reports whether the Slot's endpoint is no longer ready. The Slot must be Valid.
func (s Slot) Gone() bool {
	e := s.ticket.endpoint
	e.port.mu.Lock()
	defer e.port.mu.Unlock()
	return e.gone
}

// Prefer moves a Slot to the endpoint of a pod if that is ready. The Slot must be Valid, and
// is released then.
func (s Slot) Prefer(id ID) Slot {
	if s.ID() == id {
		return s
	}
	own, ok := s.ticket.endpoint.port.PickID(id)
	if !ok {
		return s
	}
	s.Release()
	return own
}

package routing

import (
	"math/bits"
	"slices"
)

// edit is one call of With. Nodes that it made carry it, and it may change only those: all others
// belong to tables that are in use. When With returns, nothing refers to the edit, so its nodes
// are immutable from then on.
type edit struct {
	// hash of a key: the same for all edits of a table and its descendants.
	hash func(key string) uint64
}

const (
	fanBits = 6 // bits of a hash that choose a slot of a branch
	fanMask = 1<<fanBits - 1
	hashLen = 64
)

// dict is a persistent map from strings: a change copies a few branches and shares the others. It
// is a hash array mapped trie (Bagwell, "Ideal Hash Trees"). The hash is seeded, so that no one
// can choose names that collide. The zero dict is empty.
type dict[V any] struct{ root *branch[V] }

// branch has a slot for each bit that is set, in the order of bits. Below the
// last bit of the hash the slots are those of keys with the same hash.
type branch[V any] struct {
	by    *edit
	bits  uint64
	slots []slot[V]
}

// slot is an entry or leads to a further branch.
type slot[V any] struct {
	below *branch[V]
	key   string
	value V
}

// empty reports whether there is no entry.
func (d dict[V]) empty() bool { return d.root == nil }

// find returns the value of a key. With fold, upper case letters of the key
// stand for the lower case ones; the hash must then be that of the lower case key.
func (d dict[V]) find(hash uint64, key string, fold bool) (value V, ok bool) {
	for b, shift := d.root, 0; b != nil; shift += fanBits {
		i, ok := b.index(hash, key, shift, fold)
		if !ok {
			break
		}
		s := &b.slots[i]
		if s.below == nil {
			if s.key == key || fold && equalFold(s.key, key) {
				return s.value, true
			}
			break
		}
		b = s.below
	}
	return value, false
}

// each calls visit with every value, in no order, until it returns false.
func (d dict[V]) each(visit func(V) bool) { d.root.each(visit) }

func (b *branch[V]) each(visit func(V) bool) bool {
	if b == nil {
		return true
	}
	for i := range b.slots {
		s := &b.slots[i]
		if s.below != nil && !s.below.each(visit) || s.below == nil && !visit(s.value) {
			return false
		}
	}
	return true
}

// set adds or replaces an entry.
func (d *dict[V]) set(e *edit, key string, value V) {
	d.root = d.root.set(e, e.hash(key), slot[V]{key: key, value: value}, 0)
}

// delete takes out an entry if it is there.
func (d *dict[V]) delete(e *edit, key string) {
	d.root = d.root.delete(e, e.hash(key), key, 0)
}

// lookup is find for an edit.
func (d dict[V]) lookup(e *edit, key string) (V, bool) { return d.find(e.hash(key), key, false) }

// index returns the slot that a key belongs to, and whether there is one yet.
func (b *branch[V]) index(hash uint64, key string, shift int, fold bool) (int, bool) {
	if shift >= hashLen {
		for i := range b.slots {
			if k := b.slots[i].key; k == key || fold && equalFold(k, key) {
				return i, true
			}
		}
		return len(b.slots), false
	}
	bit := uint64(1) << (hash >> shift & fanMask)
	return bits.OnesCount64(b.bits & (bit - 1)), b.bits&bit != 0
}

func (b *branch[V]) set(e *edit, hash uint64, s slot[V], shift int) *branch[V] {
	b = b.own(e)
	i, ok := b.index(hash, s.key, shift, false)
	if !ok {
		b.mark(hash, shift)
		b.slots = slices.Insert(b.slots, i, s)
		return b
	}
	old := &b.slots[i]
	switch {
	case old.below != nil:
		old.below = old.below.set(e, hash, s, shift+fanBits)
	case old.key == s.key:
		*old = s
	default:
		var below *branch[V]
		below = below.set(e, e.hash(old.key), *old, shift+fanBits)
		*old = slot[V]{below: below.set(e, hash, s, shift+fanBits)}
	}
	return b
}

func (b *branch[V]) delete(e *edit, hash uint64, key string, shift int) *branch[V] {
	if b == nil {
		return nil
	}
	i, ok := b.index(hash, key, shift, false)
	if !ok {
		return b
	}
	if below := b.slots[i].below; below != nil {
		below = below.delete(e, hash, key, shift+fanBits)
		b = b.own(e)
		if len(below.slots) == 1 && below.slots[0].below == nil {
			b.slots[i] = below.slots[0] // an entry alone moves up, so that no branch is ever empty
		} else {
			b.slots[i].below = below
		}
		return b
	}
	if b.slots[i].key != key {
		return b
	}
	if len(b.slots) == 1 {
		return nil
	}
	b = b.own(e)
	b.unmark(hash, shift)
	b.slots = slices.Delete(b.slots, i, i+1)
	return b
}

// own returns a branch that the edit may change: b itself or a copy.
func (b *branch[V]) own(e *edit) *branch[V] {
	if b == nil {
		return &branch[V]{by: e}
	}
	if b.by == e {
		return b
	}
	return &branch[V]{by: e, bits: b.bits, slots: slices.Clone(b.slots)}
}

func (b *branch[V]) mark(hash uint64, shift int) {
	if shift < hashLen {
		b.bits |= 1 << (hash >> shift & fanMask)
	}
}

func (b *branch[V]) unmark(hash uint64, shift int) {
	if shift < hashLen {
		b.bits &^= 1 << (hash >> shift & fanMask)
	}
}

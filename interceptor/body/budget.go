package body

import "sync/atomic"

// Budget bounds the memory of everything that waits. That is requests, bytes of their bodies that
// were or may be read ahead, and answers that must be complete. It is safe for concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// Held is the memory of a waiting request in addition to its head and its body. It covers its
// goroutines, its connection or stream, and what net/http and this package keep of it.
const Held = 16 << 10

// Served is the memory of a request that is forwarded, in addition to its head and its connection.
const Served = 24 << 10

// NewBudget returns a budget of this many bytes; 0 or less means no limit.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// Reserve takes n bytes and reports whether there were as many.
func (b *Budget) Reserve(n int) bool {
	if used := b.used.Add(int64(n)); b.max > 0 && used > b.max {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// ReserveHalf is Reserve as long as no more than half of the bytes are taken.
func (b *Budget) ReserveHalf(n int) bool {
	if used := b.used.Add(int64(n)); b.max > 0 && used > b.max/2 {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// Share reports whether one of several users may have n bytes, which are taken already. That is twice what would be
// left to the others, so a user alone gets two thirds of all bytes. One with less than a sixteenth is refused only when
// many such users have taken as much again.
func (b *Budget) Share(n int64) bool {
	used := b.used.Load()
	return b.max <= 0 || n <= 2*(b.max-used) || n <= b.max/16 && used <= 2*b.max
}

// Take takes n bytes whether there are as many or not.
func (b *Budget) Take(n int) { b.used.Add(int64(n)) }

// Release returns n bytes.
func (b *Budget) Release(n int) { b.used.Add(-int64(n)) }

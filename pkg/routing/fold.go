package routing

import "hash/maphash"

// Host names compare without the case of ASCII letters and of no others
// (RFC 4343). Hosts of rules are stored in lower case. Nearly every client sends
// lower case too, so only a request whose host has upper case letters pays for
// folding, and nothing is copied for it.

// hashLabel returns the hash that a label of a request's host is found by.
func hashLabel(r *request, label string) uint64 {
	if !r.fold {
		return maphash.String(r.seed, label)
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	for i := range len(label) {
		_ = h.WriteByte(lowerByte(label[i])) // documented to never fail
	}
	return h.Sum64()
}

// equalFold says whether a label is the same as one in lower case.
func equalFold(low, label string) bool {
	if len(low) != len(label) {
		return false
	}
	for i := range len(low) {
		if low[i] != lowerByte(label[i]) {
			return false
		}
	}
	return true
}

// hasUpper says whether there is an upper case letter.
func hasUpper(s string) bool {
	for i := range len(s) {
		if lowerByte(s[i]) != s[i] {
			return true
		}
	}
	return false
}

// lower returns the host in lower case.
func lower(host string) string {
	if !hasUpper(host) {
		return host
	}
	b := []byte(host)
	for i := range b {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

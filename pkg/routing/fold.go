package routing

import "hash/maphash"

// Host names compare without the case of ASCII letters and of no others (RFC 4343). Hosts of
// rules are stored in lower case. Nearly every client sends lower case too. Only a request whose
// host has upper case letters pays for folding, and folding copies nothing.

// hash returns the hash of a request's host, or of a label of it, for lookups.
func (r *request) hash(name string) uint64 {
	if !r.fold {
		return maphash.String(r.seed, name)
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	for i := range len(name) {
		_ = h.WriteByte(lowerByte(name[i])) // documented to never fail
	}
	return h.Sum64()
}

// equalFold says whether a name is the same as one in lower case.
func equalFold(low, name string) bool {
	if len(low) != len(name) {
		return false
	}
	for i := range len(low) {
		if low[i] != lowerByte(name[i]) {
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

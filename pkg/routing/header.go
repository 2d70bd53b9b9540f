package routing

import (
	"cmp"
	"hash/maphash"
	"net/http"
	"slices"
)

// fewRules is how many rules of a path are looked at one after the other.
const fewRules = 16

// A path with more rules has an index of those that match headers. With thousands of them, most
// want a header that the request does not have. Rules that want the same headers form a set,
// because only the first of them can win. Each set is in the list of one of its headers, the
// shortest when it came. A change copies the list that it touches.

// namedHeader has the lists of a header name.
type namedHeader[T any] struct {
	any    *headerList[T]
	values dict[*headerList[T]]
}

// headerList is sets in the order of compareHeaders. The hashes of their headers are in one
// row: with thousands of sets a match is as fast as it can read them.
type headerList[T any] struct {
	by     *edit
	sets   []headerSet[T]
	hashes []uint64
}

// headerSet is the rules that ask for the same headers, the winner first.
type headerSet[T any] struct {
	by      *edit
	headers []headerMatch
	values  int
	rules   []candidate[T]
}

// compareHeaders orders what rules ask for by precedence, then in any order that is total.
func compareHeaders[T any](s headerSet[T], r *rule[T]) int {
	return cmp.Or(compareRank(len(s.headers), s.values, len(r.asks.headers), r.asks.values), slices.CompareFunc(s.headers, r.asks.headers, compareMatches))
}

// compareRank orders what two rules ask for: more headers, then more values.
func compareRank(a, aValues, b, bValues int) int {
	return cmp.Or(cmp.Compare(b, a), cmp.Compare(bValues, aValues))
}

// pickIndexed returns the first of the rules in the index that a header satisfies.
func (n *paths[T]) pickIndexed(r *request) (best *candidate[T]) {
	var memo headerMemo
	for name, values := range r.Header {
		found, ok := n.headers.find(maphash.String(r.seed, name), name, false)
		if !ok {
			continue
		}
		if len(values) > 0 && found.any != nil {
			best = found.any.pick(r.Header, &memo, best)
		}
		if found.values.empty() {
			continue
		}
		for i, value := range values {
			list, ok := found.values.find(maphash.String(r.seed, value), value, false)
			if ok && !slices.Contains(values[:i], value) {
				best = list.pick(r.Header, &memo, best)
			}
		}
	}
	return best
}

// pick returns best or a rule of the list that comes before it.
func (l *headerList[T]) pick(header http.Header, memo *headerMemo, best *candidate[T]) *candidate[T] {
	hashes := l.hashes
	for i := range l.sets {
		s := &l.sets[i]
		asked := hashes[:len(s.headers)]
		hashes = hashes[len(asked):]
		if best != nil && compareRank(len(best.asks.headers), best.asks.values, len(s.headers), s.values) < 0 {
			break
		}
		if memo.match(s.headers, asked, header) && (best == nil || compareRules(s.rules[0].rule, best.rule) < 0) {
			best = &s.rules[0]
		}
	}
	return best
}

// headerMemo remembers which of the wanted headers a request has, by the hash of the header.
// Thousands of rules may share headers that the request has, and one that it does not have.
// Looking them up again for each rule would take most of the time.
type headerMemo [128]struct {
	hash  uint64
	known bool
	has   bool
}

// match reports whether a header has what the rules of a set ask for.
func (memo *headerMemo) match(headers []headerMatch, hashes []uint64, header http.Header) bool {
	for i, hash := range hashes {
		at := &memo[hash%uint64(len(memo))]
		if !at.known || at.hash != hash {
			at.hash, at.known, at.has = hash, true, matchHeaders(headers[i:i+1], header)
		}
		if !at.has {
			return false
		}
	}
	return true
}

// indexRule adds a rule to the index or takes it out.
func (n *paths[T]) indexRule(e *edit, r *rule[T], add bool) {
	var in *headerMatch
	var list *headerList[T]
	headers := r.asks.headers
	for i := range headers {
		other := n.listOf(e, &headers[i])
		if other == nil {
			if add && (in == nil || list != nil) {
				in, list = &headers[i], nil
			}
			continue
		}
		if _, found := slices.BinarySearchFunc(other.sets, r, compareHeaders); found {
			in, list = &headers[i], other
			break
		}
		if add && (in == nil || list != nil && len(other.sets) < len(list.sets)) {
			in, list = &headers[i], other
		}
	}
	list = list.own(e)
	list.update(e, r, add)
	n.setList(e, in, list)
}

// listOf returns the list of a header, or nil.
func (n *paths[T]) listOf(e *edit, m *headerMatch) *headerList[T] {
	named, ok := n.headers.lookup(e, m.name)
	switch {
	case !ok:
		return nil
	case m.anyValue:
		return named.any
	}
	list, _ := named.values.lookup(e, m.value)
	return list
}

// setList replaces the list of a header.
func (n *paths[T]) setList(e *edit, m *headerMatch, list *headerList[T]) {
	var named namedHeader[T]
	if old, ok := n.headers.lookup(e, m.name); ok {
		named = *old
	}
	if len(list.sets) == 0 {
		list = nil
	}
	switch {
	case m.anyValue:
		named.any = list
	case list != nil:
		named.values.set(e, m.value, list)
	default:
		named.values.delete(e, m.value)
	}
	if named.any == nil && named.values.empty() {
		n.headers.delete(e, m.name)
		return
	}
	n.headers.set(e, m.name, &named)
}

// update adds a rule to a list that the edit owns, or takes it out.
func (l *headerList[T]) update(e *edit, r *rule[T], add bool) {
	i, found := slices.BinarySearchFunc(l.sets, r, compareHeaders)
	at := 0
	for j := range l.sets[:i] {
		at += len(l.sets[j].headers)
	}
	if !found {
		l.sets = slices.Insert(l.sets, i, headerSet[T]{by: e, values: r.asks.values})
		l.hashes = slices.Insert(l.hashes, at, r.asks.hashes...)
	}
	s := &l.sets[i]
	if s.by != e {
		s.by, s.rules = e, slices.Clone(s.rules)
	}
	if s.rules = changeRules(s.rules, r, add); len(s.rules) == 0 {
		l.sets = slices.Delete(l.sets, i, i+1)
		l.hashes = slices.Delete(l.hashes, at, at+len(r.asks.hashes))
		return
	}
	s.headers = s.rules[0].asks.headers // not those of a rule that is gone
}

// own returns a list that the edit may change: l itself or a copy.
func (l *headerList[T]) own(e *edit) *headerList[T] {
	if l == nil {
		return &headerList[T]{by: e}
	}
	if l.by == e {
		return l
	}
	return &headerList[T]{by: e, sets: slices.Clone(l.sets), hashes: slices.Clone(l.hashes)}
}

package routing

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// fewRules is how many rules of a place are looked at one after the other.
const fewRules = 16

// headerIndex finds the rules of a place by the headers of a request: with thousands of
// rules that differ by header, most ask for one that the request does not have. Each rule
// is in the list of one of its headers, that with the fewest rules. The numbers are places
// in the list of rules, in ascending order.
type headerIndex struct {
	always int // the first rule without headers
	names  map[string]*named
}

// named is the rules of a header.
type named struct {
	any    []int
	values map[string]*[]int
}

// pickIndexed is pick for many rules.
func (n *paths[T]) pickIndexed(header http.Header) *candidate[T] {
	index := n.index.Load()
	if index == nil {
		index = newHeaderIndex(n.rules)
		n.index.Store(index) // another goroutine may have made the same
	}
	best := index.always
	scan := func(list []int) {
		for _, i := range list {
			if i >= best {
				return
			}
			if matchHeaders(n.rules[i].headers, header) {
				best = i
				return
			}
		}
	}
	for name, values := range header {
		found := index.names[name]
		if found == nil {
			continue
		}
		if len(values) > 0 {
			scan(found.any)
		}
		for _, value := range values {
			if list := found.values[value]; list != nil {
				scan(*list)
			}
		}
	}
	if best == len(n.rules) {
		return nil
	}
	return &n.rules[best]
}

func newHeaderIndex[T any](rules []candidate[T]) *headerIndex {
	index := &headerIndex{always: len(rules), names: make(map[string]*named)}
	seen := make(map[string]struct{}, len(rules))
	for i := range rules {
		headers := rules[i].headers
		if len(headers) == 0 {
			index.always = min(index.always, i)
			continue
		}
		// Of rules with the same headers only the first can win.
		if key := keyOf(headers); !add(seen, key) {
			continue
		}
		list := index.list(&headers[0])
		for j := range headers[1:] {
			if other := index.list(&headers[1+j]); len(*other) < len(*list) {
				list = other
			}
		}
		*list = append(*list, i)
	}
	return index
}

// list returns the list of the rules that ask for a header.
func (x *headerIndex) list(m *headerMatch) *[]int {
	of := x.names[m.name]
	if of == nil {
		of = &named{values: make(map[string]*[]int)}
		x.names[m.name] = of
	}
	if m.anyValue {
		return &of.any
	}
	list := of.values[m.value]
	if list == nil {
		list = new([]int)
		of.values[m.value] = list
	}
	return list
}

func add(set map[string]struct{}, key string) bool {
	if _, ok := set[key]; ok {
		return false
	}
	set[key] = struct{}{}
	return true
}

// keyOf returns what the same headers have in common, whatever their order.
func keyOf(headers []headerMatch) string {
	texts := make([]string, 0, len(headers))
	for i := range headers {
		text := headers[i].name
		if !headers[i].anyValue {
			text += strconv.Quote(headers[i].value)
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

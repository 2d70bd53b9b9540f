package routing

// Matcher finds out whether a request matches one of some rules: those of a static
// route. It is immutable; the zero Matcher matches nothing.
type Matcher struct{ table *Table[struct{}] }

// CompileMatcher makes a matcher. Without rules it matches nothing.
func CompileMatcher(rules []Rule) Matcher {
	return Matcher{table: Compile([]Route[struct{}]{{Rules: rules}})}
}

// Match reports whether one of the rules matches.
func (m *Matcher) Match(r *Request) bool {
	_, ok := m.table.Match(r)
	return ok
}

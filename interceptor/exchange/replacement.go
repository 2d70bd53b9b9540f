package exchange

// Replacement notifies the requests that wait under a route when a newly compiled route replaces
// it. A nil Replacement never does.
type Replacement struct {
	replaced chan struct{}
	next     *Route
}

// NewReplacement returns the replacement of a route that is in force.
func NewReplacement() *Replacement { return &Replacement{replaced: make(chan struct{})} }

// Replaced is closed when another route has replaced this one.
func (r *Route) Replaced() <-chan struct{} {
	if r.Replacement == nil {
		return nil
	}
	return r.Replacement.replaced
}

// Successor returns the route that has replaced this one, once Replaced is closed. By then,
// another route may have replaced the successor.
func (r *Route) Successor() *Route {
	return r.Replacement.next
}

// TargetReady reports whether the target has a ready endpoint. It asks the route in force
// if this one has been replaced.
func (r *Route) TargetReady() bool {
	for {
		select {
		case <-r.Replaced():
			r = r.Successor()
		default:
			return r.Target.Endpoints.Ready()
		}
	}
}

// Replace makes route by the successor of r. It must be called at most once.
func (r *Route) Replace(by *Route) {
	r.Replacement.next = by
	close(r.Replacement.replaced)
}

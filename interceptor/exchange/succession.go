package exchange

// Succession tells requests that wait under a route that it was compiled anew.
// It is shared by pointer; the zero value of the pointer never tells anything.
type Succession struct {
	replaced chan struct{}
	next     *Route
}

// NewSuccession returns the succession of a route that is in force.
func NewSuccession() *Succession { return &Succession{replaced: make(chan struct{})} }

// Replaced is closed when another route has taken the place of this one.
func (r *Route) Replaced() <-chan struct{} {
	if r.Succession == nil {
		return nil
	}
	return r.Succession.replaced
}

// Successor is the route that has taken the place of this one. It may be asked
// for once Replaced is closed, and may be replaced itself by then.
func (r *Route) Successor() *Route {
	return r.Succession.next
}

// TargetReady says whether the target has a ready endpoint: that of the route in
// force, should this one have been replaced since.
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

// Replace makes another route the successor. It is called once.
func (r *Route) Replace(by *Route) {
	r.Succession.next = by
	close(r.Succession.replaced)
}

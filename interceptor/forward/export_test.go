package forward

// MaxAbsent is maxAbsent.
const MaxAbsent = maxAbsent

// SetAbsent sets how many requests wait for longer than patience, and returns how many did.
func (f *Forwarder) SetAbsent(n int64) int64 { return f.absent.Swap(n) }

package eta

// Stage is what the cluster reports of a wake. The zero Stage means that nothing is
// reported.
type Stage struct {
	Phase  Phase
	Reason Reason
}

// Phase is how far the pod of a target is that is furthest.
type Phase uint8

// The phases of a wake. Requested is all that is known before the cluster reports one.
const (
	Requested Phase = iota
	Scheduling
	Pulling
	Starting
	Loading
	Ready
)

// phases are the words for them: a client sees one of these, and nothing else of a phase.
var phases = [...]string{"requested", "scheduling", "pulling", "starting", "loading", "ready"}

// String returns the word for a phase.
func (p Phase) String() string { return phases[p] }

// Reason is why a wake does not get on.
type Reason uint8

// The reasons. None means that no reason is known.
const (
	None Reason = iota
	Unschedulable
	WaitingForNode
	QuotaExceeded
	ImagePullFailed
	ConfigError
	CrashLoop
	OOMKilled
	ProbeFailing
	Paused
)

// reasons are the sentences for them: a client sees one of these, and nothing else of a
// reason. They hold no name and no number.
var reasons = [...]string{
	"",
	"There is no machine with room for it.",
	"A new machine is being started for it.",
	"A quota does not let it start.",
	"Its image cannot be downloaded.",
	"Its configuration is not complete.",
	"It starts, and ends again.",
	"It runs out of memory.",
	"It runs, and does not answer its health check yet.",
	"It is paused.",
}

// String returns the sentence for a reason, an empty one for None.
func (r Reason) String() string { return reasons[r] }

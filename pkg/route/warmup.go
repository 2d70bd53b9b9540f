package route

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // images have no time zones

	"github.com/robfig/cron/v3"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// ReasonInvalidWarmUp is the condition reason of warm-ups that never come.
const ReasonInvalidWarmUp = "InvalidWarmUp"

// The bounds of a warm-up's length.
const (
	minWarmUp = time.Minute
	maxWarmUp = 24 * time.Hour
)

const (
	// clockChange is more than daylight saving time puts clocks forward or back.
	clockChange = 3 * time.Hour
	// maxSchedule bounds the text of a schedule.
	maxSchedule = 100
)

// WarmUp is a compiled warm-up, immutable.
type WarmUp struct {
	// schedule is one of wall clocks, which have no time zone: their times are those of UTC.
	schedule cron.Schedule
	zone     *time.Location
	length   time.Duration
}

// CompileWarmUp returns a warm-up, or why it never comes. The API server refuses most of that,
// but it has not checked files, and does not know time zones.
func CompileWarmUp(spec *v1beta1.WarmUp) (*WarmUp, *Problem) {
	invalid := func(format string, args ...any) (*WarmUp, *Problem) {
		return nil, &Problem{Reason: ReasonInvalidWarmUp, Message: fmt.Sprintf(format, args...)}
	}
	if length := spec.For.Duration; length < minWarmUp || length > maxWarmUp {
		return invalid("'for' is %v and must be from 1m to 24h", length)
	}
	// The library takes more: a time zone in the text, and times that count from its start.
	text := spec.Cron
	if len(text) > maxSchedule || strings.Contains(text, "=") || strings.HasPrefix(text, "@every") {
		return invalid("%.80q is not a schedule of five fields", text)
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return invalid("%q is not a schedule: %v", text, err)
	}
	// The library takes a field of commas alone, and then looks through years minute by minute.
	fields, ok := schedule.(*cron.SpecSchedule)
	if !ok || min(fields.Minute, fields.Hour, fields.Dom, fields.Month, fields.Dow) == 0 {
		return invalid("%q is not a schedule: a field is empty", text)
	}
	// The library looks five years ahead, so a leap day is found.
	if schedule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return invalid("the schedule %q matches no date", text)
	}
	zone, ok := location(spec.TimeZone)
	if !ok {
		return invalid("there is no time zone %.80q", spec.TimeZone)
	}
	return &WarmUp{schedule: schedule, zone: zone, length: spec.For.Duration}, nil
}

// zones are the locations in use by name, which warm-ups share: one takes up to 6 KiB.
var zones sync.Map

// location returns a time zone. Only names of the IANA database have one: a path with dots
// or the name of a file of this machine has none.
func location(name string) (*time.Location, bool) {
	if zone, ok := zones.Load(name); ok {
		found, ok := zone.(*time.Location)
		return found, ok
	}
	if name != "" && path.Clean(name) != name || slices.Contains([]string{"Local", "localtime", "posixrules"}, name) {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	zones.Store(name, zone)
	return zone, true
}

// End returns the end of the warm-up that is live at a time, zero if none is.
func (w *WarmUp) End(now time.Time) (end time.Time) {
	wall, ahead, furthest := wallOf(now.In(w.zone)), time.Duration(1), w.length
	if offset(now.Add(-clockChange).In(w.zone)) != offset(now.Add(clockChange).In(w.zone)) {
		ahead, furthest = clockChange, w.length+clockChange
	}
	// Most of the time there is no start in the whole window.
	if first := w.schedule.Next(wall.Add(-furthest)); first.IsZero() || !first.Before(wall.Add(ahead)) {
		return time.Time{}
	}
	// The latest start has the latest end, so a short window comes first.
	for back := min(time.Minute+ahead, furthest); ; back = min(4*back, furthest) {
		for start := w.schedule.Next(wall.Add(-back)); !start.IsZero() && start.Before(wall.Add(ahead)); start = w.schedule.Next(start) {
			begin := w.instant(start)
			if until := begin.Add(w.length); !begin.After(now) && now.Before(until) && until.After(end) {
				end = until
			}
		}
		if !end.IsZero() || back == furthest {
			return end
		}
	}
}

// offset returns the offset of a time's zone, in seconds.
func offset(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}

// instant returns when a wall clock of the zone shows a time. Of two such moments it is the
// first one. A time that the clock skips counts as if it had not been put forward yet.
func (w *WarmUp) instant(wall time.Time) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, w.zone)
	early := wall.Add(-time.Duration(offset(at.Add(-clockChange))) * time.Second).In(w.zone)
	if wallOf(early).Equal(wall) || !wallOf(at).Equal(wall) {
		return early
	}
	return at
}

// wallOf returns what a clock of the time's zone shows.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

package route

import (
	"fmt"
	"strings"
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
	// clockChange is more than clocks are ever put forward or back.
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
	// The library looks five years ahead, so a leap day is found.
	if schedule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return invalid("the schedule %q matches no date", text)
	}
	// Local is the zone of this machine.
	zone, err := time.LoadLocation(spec.TimeZone)
	if err != nil || spec.TimeZone == "Local" {
		return invalid("there is no time zone %.80q", spec.TimeZone)
	}
	return &WarmUp{schedule: schedule, zone: zone, length: spec.For.Duration}, nil
}

// End returns when the warm-up ends that a time belongs to. It is zero if the time belongs to
// none.
func (w *WarmUp) End(now time.Time) (end time.Time) {
	wall := wallOf(now.In(w.zone))
	furthest := w.length + clockChange
	// Most schedules are asked about a time that belongs to none, and have no start at all in this
	// time: the library is called once. One that starts each minute is not followed through a day.
	for back := clockChange; ; back = min(2*back, furthest) {
		for start := w.schedule.Next(wall.Add(-back)); !start.IsZero() && start.Before(wall.Add(clockChange)); start = w.schedule.Next(start) {
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

// instant returns when a wall clock of the zone shows a time. Of two such moments it is the
// first one. A time that the clock skips counts as if it had not been put forward yet.
func (w *WarmUp) instant(wall time.Time) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, w.zone)
	_, before := at.Add(-clockChange).Zone()
	early := wall.Add(-time.Duration(before) * time.Second).In(w.zone)
	if wallOf(early).Equal(wall) || !wallOf(at).Equal(wall) {
		return early
	}
	return at
}

// wallOf returns what a clock of the time's zone shows.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

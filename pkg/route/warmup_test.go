package route

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

func warmUp(cron, zone string, length time.Duration) *v1beta1.WarmUp {
	return &v1beta1.WarmUp{Cron: cron, TimeZone: zone, For: metav1.Duration{Duration: length}}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// In 2026, clocks in Berlin go from 02:00 to 03:00 on March 29, and from 03:00 to 02:00 on
// October 25. Lord Howe's go by half an hour.
func TestWarmUpsFollowTheClockOnTheWall(t *testing.T) {
	for _, test := range []struct {
		reason, cron, zone string
		length             time.Duration
		now, end           string // no end: no warm-up
	}{
		{"a minute before", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-03-28T06:59:59Z", ""},
		{"at 08:00 in winter", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-03-28T07:00:00Z", "2026-03-28T08:00:00Z"},
		{"its last second", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-03-28T07:59:59Z", "2026-03-28T08:00:00Z"},
		{"its end", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-03-28T08:00:00Z", ""},
		{"at 08:00 on the day of the change", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-03-29T06:00:00Z", "2026-03-29T07:00:00Z"},
		{"an hour before that", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-03-29T05:59:00Z", ""},
		{"at 08:00 after the change back", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-10-25T07:30:00Z", "2026-10-25T08:00:00Z"},
		{"an hour before that, in autumn", "0 8 * * *", "Europe/Berlin", time.Hour, "2026-10-25T06:30:00Z", ""},
		{"in the hour that is skipped", "30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-03-29T01:35:00Z", "2026-03-29T01:40:00Z"},
		{"and not once more", "30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-03-29T02:35:00Z", ""},
		{"nor before", "30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-03-29T00:35:00Z", ""},
		{"in the hour that comes twice, first", "30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-10-25T00:35:00Z", "2026-10-25T00:40:00Z"},
		{"in the hour that comes twice, second", "30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-10-25T01:35:00Z", ""},
		{"one that lasts through the hour that comes twice", "0 1 * * *", "Europe/Berlin", 3 * time.Hour, "2026-10-25T01:59:00Z", "2026-10-25T02:00:00Z"},
		{"a change by half an hour", "15 2 * * *", "Australia/Lord_Howe", time.Minute, "2026-10-03T15:45:00Z", "2026-10-03T15:46:00Z"},
		{"one that began yesterday", "0 20 * * *", "", 24 * time.Hour, "2026-05-02T19:00:00Z", "2026-05-02T20:00:00Z"},
		{"the later end of two", "0,30 8 * * *", "", time.Hour, "2026-05-02T08:45:00Z", "2026-05-02T09:30:00Z"},
		{"one that never ends", "* * * * *", "", 24 * time.Hour, "2026-05-02T08:45:10Z", "2026-05-03T08:45:00Z"},
		{"workdays", "0 8 * * MON-FRI", "", time.Hour, "2026-05-01T08:10:00Z", "2026-05-01T09:00:00Z"},
		{"not at the weekend", "0 8 * * MON-FRI", "", time.Hour, "2026-05-02T08:10:00Z", ""},
		{"a leap day", "0 0 29 2 *", "", time.Hour, "2028-02-29T00:10:00Z", "2028-02-29T01:00:00Z"},
		{"a name for a schedule", "@daily", "", time.Hour, "2026-05-02T00:10:00Z", "2026-05-02T01:00:00Z"},
	} {
		compiled, problem := CompileWarmUp(warmUp(test.cron, test.zone, test.length))
		if problem != nil {
			t.Fatalf("%s: %s", test.reason, problem.Message)
		}
		var want time.Time
		if test.end != "" {
			want = at(t, test.end)
		}
		if got := compiled.End(at(t, test.now)); !got.Equal(want) {
			t.Errorf("%s: at %s the end is %v, want %v", test.reason, test.now, got, want)
		}
	}
}

// Each day has exactly one warm-up, whatever the clocks do.
func TestEachDayHasOneWarmUp(t *testing.T) {
	const length = 15 * time.Minute
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"} {
		for _, cron := range []string{"0 0 * * *", "30 1 * * *", "15 2 * * *"} {
			compiled, problem := CompileWarmUp(warmUp(cron, zone, length))
			if problem != nil {
				t.Fatal(problem.Message)
			}
			for first, days := range map[string]int{"2026-03-01T12:00:00Z": 61, "2026-10-01T12:00:00Z": 46} {
				begun, start := 0, at(t, first)
				for now := start; now.Before(start.AddDate(0, 0, days)); now = now.Add(length) {
					switch end := compiled.End(now); {
					case end.IsZero():
					case end.Sub(now) == length:
						begun++
					default:
						t.Errorf("%s in %s: at %v the end is %v", cron, zone, now, end)
					}
				}
				if begun != days {
					t.Errorf("%s in %s: %d in %d days from %s", cron, zone, begun, days, first)
				}
			}
		}
	}
}

func TestWarmUpsThatNeverCome(t *testing.T) {
	for text, spec := range map[string]*v1beta1.WarmUp{
		"not a schedule":         warmUp("soon", "", time.Hour),
		"five fields":            warmUp("TZ=Europe/Berlin 0 8 * * *", "", time.Hour),
		"not a schedule of five": warmUp("TZ=", "", time.Hour),
		"schedule of five":       warmUp("@every 1h", "", time.Hour),
		"of five fields":         warmUp(strings.Repeat("1,", 60)+"1 * * * *", "", time.Hour),
		"expected exactly 5":     warmUp("0 8 * *", "", time.Hour),
		"above maximum":          warmUp("60 8 * * *", "", time.Hour),
		"should be a positive":   warmUp("*/0 8 * * *", "", time.Hour),
		"a field is empty":       warmUp(", * * * *", "", time.Hour),
		`", * , * *" is not`:     warmUp(", * , * *", "", time.Hour),
		`zone "localtime"`:       warmUp("0 8 * * *", "localtime", time.Hour),
		`zone "Europe//Berlin"`:  warmUp("0 8 * * *", "Europe//Berlin", time.Hour),
		"matches no date":        warmUp("0 8 31 2 *", "", time.Hour),
		"no time zone":           warmUp("0 8 * * *", "Europe/Atlantis", time.Hour),
		`no time zone "Local"`:   warmUp("0 8 * * *", "Local", time.Hour),
		`zone "../../etc/passwd`: warmUp("0 8 * * *", "../../etc/passwd", time.Hour),
		"from 1m to 24h":         warmUp("0 8 * * *", "", 0),
		"25h0m0s":                warmUp("0 8 * * *", "", 25*time.Hour),
	} {
		if _, problem := CompileWarmUp(spec); problem == nil || problem.Reason != ReasonInvalidWarmUp || !strings.Contains(problem.Message, text) {
			t.Errorf("%+v: %+v, want %q", spec, problem, text)
		}
	}
}

// No text makes the library panic, or an end lie in the past or too far ahead.
func FuzzWarmUp(f *testing.F) {
	for _, cron := range []string{"0 8 * * *", "@daily", "*/7,3-5 ? 1 JAN-MAR L", "TZ=", "CRON_TZ= * * * *", "@every 1ns", "0 0 29 2 *", ", * * * *", "* 13-15 2 5 *"} {
		f.Add(cron, "Europe/Berlin", int64(time.Hour), int64(1774746000))
	}
	f.Fuzz(func(t *testing.T, cron, zone string, length, unix int64) {
		compiled, problem := CompileWarmUp(warmUp(cron, zone, time.Duration(length)))
		if problem != nil {
			return
		}
		now := time.Unix(unix%(1<<36), 0)
		if end := compiled.End(now); !end.IsZero() && (!end.After(now) || end.Sub(now) > maxWarmUp) {
			t.Errorf("%q in %q for %v: at %v the end is %v", cron, zone, time.Duration(length), now, end)
		}
	})
}

func BenchmarkWarmUpEnd(b *testing.B) {
	now := time.Date(2026, 5, 2, 12, 0, 10, 0, time.UTC)
	for name, spec := range map[string]*v1beta1.WarmUp{
		"daily": warmUp("0 8 * * *", "Europe/Berlin", time.Hour), "yearly": warmUp("0 8 29 2 *", "Europe/Berlin", time.Hour),
		"each minute": warmUp("* * * * *", "Europe/Berlin", 24*time.Hour), "a day ago": warmUp("* 13-15 1 5 *", "Europe/Berlin", 21*time.Hour),
	} {
		compiled, problem := CompileWarmUp(spec)
		if problem != nil {
			b.Fatal(problem.Message)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				compiled.End(now)
			}
		})
	}
}

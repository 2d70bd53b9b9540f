package eta

import (
	"html"
	"strings"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 999 * time.Millisecond: "0 s", 35 * time.Second: "35 s", time.Minute: "1 min", 65 * time.Second: "1 min 5 s",
		2 * time.Minute: "2 min", 599 * time.Second: "9 min 59 s", 605 * time.Second: "10 min", 61 * time.Minute: "61 min",
	} {
		if got := Words(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestAnEstimateIsNoMoreExactThanItIs(t *testing.T) {
	for estimate, want := range map[time.Duration]string{
		0: "", 30 * time.Millisecond: "1 s", 9100 * time.Millisecond: "10 s", 36 * time.Second: "40 s", 58 * time.Second: "1 min",
		62 * time.Second: "1 min 30 s", 2 * time.Minute: "2 min", 301 * time.Second: "6 min", 20*time.Minute + 1: "21 min",
	} {
		if got := (Progress{Estimate: estimate}).EstimateText(); got != want {
			t.Errorf("%v is about %q, want %q", estimate, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const otherwise = 5 * time.Second
	for _, c := range []struct {
		reason            string
		elapsed, estimate time.Duration
		want              time.Duration
	}{
		{"unknown", 10 * time.Second, 0, otherwise},
		{"what is left", 10 * time.Second, 40 * time.Second, 30 * time.Second},
		{"at least a second", 39900 * time.Millisecond, 40 * time.Second, time.Second},
		{"at most a minute", 0, 10 * time.Minute, time.Minute},
		{"overdue: nobody knows", 41 * time.Second, 40 * time.Second, otherwise},
	} {
		if got := (Progress{Elapsed: c.elapsed, Estimate: c.estimate}).RetryAfter(otherwise); got != c.want {
			t.Errorf("%s: got %v, want %v", c.reason, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	known, none := Progress{Elapsed: 12 * time.Second, Estimate: 40 * time.Second}, Progress{Elapsed: 12 * time.Second}
	for _, c := range []struct{ reason, text, known, unknown string }{
		{"nothing", "", "", ""},
		{"a text", "Waking up, [please] {wait}…", "Waking up, [please] {wait}…", "Waking up, [please] {wait}…"},
		{"elapsed", "{elapsed}…", "12 s…", "12 s…"},
		{"an optional part", "Waking up, {elapsed}[ of about {estimate}]", "Waking up, 12 s of about 40 s", "Waking up, 12 s"},
		{"an optional sentence", "Wait.[ Usually {estimate}.] Thanks.", "Wait. Usually 40 s. Thanks.", "Wait. Thanks."},
		{"elapsed in an optional part", "Wait[ {elapsed}/{estimate}]", "Wait 12 s/40 s", "Wait"},
		{"an estimate that was not made optional", "{elapsed} of about {estimate}", "12 s of about 40 s", "12 s of about …"},
		{"brackets around something else", "[{elapsed}] [a] {estimate} [b]", "[12 s] [a] 40 s [b]", "[12 s] [a] … [b]"},
		{"both kinds", "{estimate}[ or {estimate}]", "40 s or 40 s", "…"},
		{"the innermost brackets", "[a[ {estimate}]]", "[a 40 s]", "[a]"},
		{"brackets that do not close", "[ {estimate}", "[ 40 s", "[ …"},
		{"brackets that do not open", "{estimate} ]", "40 s ]", "… ]"},
		{"two optional parts", "[{estimate}][{estimate}]", "40 s40 s", ""},
		{"case matters", "{Elapsed} {ESTIMATE}", "{Elapsed} {ESTIMATE}", "{Elapsed} {ESTIMATE}"},
		{"text is escaped", "<{elapsed}>[<{estimate}]&", "&lt;12 s&gt;&lt;40 s&amp;", "&lt;12 s&gt;&amp;"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			text := ParseText(c.text, html.EscapeString)
			if got := string(text.Append(nil, known)); got != c.known {
				t.Errorf("known: %q, want %q", got, c.known)
			}
			if got := string(text.Append(nil, none)); got != c.unknown {
				t.Errorf("unknown: %q, want %q", got, c.unknown)
			}
			moves := strings.Contains(c.text, elapsed) || strings.Contains(c.text, estimate)
			if text.Dynamic() != moves || text.ShowsEstimate() != strings.Contains(c.text, estimate) {
				t.Errorf("moves %v, tells the estimate %v", text.Dynamic(), text.ShowsEstimate())
			}
		})
	}
}

func TestPhaseAndReason(t *testing.T) {
	nothing, stuck := Progress{}, Progress{Stage: Stage{Pulling, ImagePullFailed}}
	for _, c := range []struct{ text, nothing, stuck string }{
		{"{phase}…", "requested…", "pulling…"},
		{"Wait.[ {reason}]", "Wait.", "Wait. Its image cannot be downloaded."},
		{"Wait. {reason}", "Wait. ", "Wait. Its image cannot be downloaded."},
		{"[{reason} {estimate}]", "", ""},
		{"[{estimate}][{reason}]{phase}", "requested", "Its image cannot be downloaded.pulling"},
	} {
		text := ParseText(c.text, html.EscapeString)
		if got := string(text.Append(nil, nothing)); got != c.nothing {
			t.Errorf("%q without a report: %q, want %q", c.text, got, c.nothing)
		}
		if got := string(text.Append(nil, stuck)); got != c.stuck {
			t.Errorf("%q: %q, want %q", c.text, got, c.stuck)
		}
	}
	if got := (Progress{Elapsed: time.Hour, Estimate: time.Second, Left: 7 * time.Second}).RetryAfter(0); got != 7*time.Second {
		t.Errorf("retry after %v: what the cluster expects is better than the estimate", got)
	}
}

// What clients get must need no escaping: it goes into JSON and into pages as it is.
func TestWordsForClientsHoldNoNameAndNoNumber(t *testing.T) {
	for _, text := range append(phases[:], reasons[:]...) {
		if strings.ContainsAny(text, "0123456789<>&\"'\\/:{}[]") {
			t.Errorf("%q", text)
		}
	}
	if len(phases) != int(Ready)+1 || len(reasons) != int(Paused)+1 {
		t.Errorf("%d phases and %d reasons", len(phases), len(reasons))
	}
}

// FuzzText: no text makes it fail, and what has no placeholder stays as it is.
func FuzzText(f *testing.F) {
	for _, s := range []string{"[{estimate}]", "{elapsed}[ of {estimate}]", "[[{estimate}]", "]{estimate}["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := ParseText(s, func(s string) string { return s })
		got := string(text.Append(nil, Progress{Elapsed: time.Second, Estimate: time.Minute}))
		switch {
		case !text.Dynamic() && got != s:
			t.Errorf("%q became %q", s, got)
		case strings.Contains(got, estimate) || strings.Contains(got, elapsed):
			// What stands in for a placeholder, and brackets that went, make no new one.
			if !strings.Contains(strings.NewReplacer("[", "", "]", "").Replace(s), "{e") {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}

package waitingpage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var fixed = Fields{Title: "Starting…", Message: "A <b>moment</b>", RefreshInterval: 5}

func TestExecute(t *testing.T) {
	now := fixed
	now.Elapsed, now.ElapsedSeconds = "12 s", 12
	known := now
	known.Estimate, known.EstimateSeconds = "40 s", 40
	for _, c := range []struct{ reason, template, unknown, known string }{
		{"every field", "{{.Title}}|{{.Message}}|{{.RefreshInterval}}|{{.Elapsed}}|{{.ElapsedSeconds}}|{{.Estimate}}|{{.EstimateSeconds}}",
			"Starting…|A &lt;b&gt;moment&lt;/b&gt;|5|12 s|12||0", "Starting…|A &lt;b&gt;moment&lt;/b&gt;|5|12 s|12|40 s|40"},
		{"an unknown estimate is empty", "a{{with .Estimate}} of {{.}}{{end}}", "a", "a of 40 s"},
		{"conditions and variables", "{{$e := .EstimateSeconds}}{{if and $e (lt .ElapsedSeconds $e)}}ahead{{else if not $e}}unknown{{else}}over{{end}}", "unknown", "ahead"},
		{"attributes", `<progress value="{{.ElapsedSeconds}}" max="{{.EstimateSeconds}}">`, `<progress value="12" max="0">`, `<progress value="12" max="40">`},
		{"line ends are those of a browser", "a\r\nb\rc", "a\nb\nc", "a\nb\nc"},
		{"a script of its own", "<script>a(1) // b\n</script>", "<script>a(1) \n</script>", "<script>a(1) \n</script>"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			page, err := Parse(c.template, fixed)
			if err != nil {
				t.Fatal(err)
			}
			for fields, want := range map[Fields]string{now: c.unknown, known: c.known} {
				if got, err := page.Execute(fields); err != nil || string(got) != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
			}
		})
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ reason, template, want string }{
		{"nothing", " \n", "the template is empty"},
		{"nothing but a comment", "{{/* soon */}}", "the template is empty"},
		{"too long", strings.Repeat("x", MaxBytes+1), "the template has 65537 bytes, more than 65536"},
		{"not UTF-8", "\xff", "the template is not a text in UTF-8"},
		{"binary", "a\x00", "the template is not a text in UTF-8"},
		{"syntax", "a\n{{if}}", `parsing the template: template: page:2: missing value for if`},
		{"an unknown field", "{{.Nonsense}}", `executing the template: template: page:1:2: executing "page" at <.Nonsense>: can't evaluate field Nonsense in type waitingpage.Fields`},
		{"an unknown field, when the estimate is known", "{{with .Estimate}}{{.A}}{{end}}", `executing the template: template: page:1:20: executing "page" at <.A>: can't evaluate field A in type string`},
		{"an unknown field, late", "{{if gt .ElapsedSeconds 3600}}{{.A}}{{end}}", `executing the template: template: page:1:32: executing "page" at <.A>: can't evaluate field A in type waitingpage.Fields`},
		{"a page that ends in a tag", "<p title='", `html/template:page: ends in a non-text context`},
		{"what repeats", "{{range 1000000000000}}{{end}}", "page:1:8: range may not be used in a waiting page"},
		{"what repeats in a branch", "{{if .Title}}{{else}}{{range 9}}x{{end}}{{end}}", "page:1:29: range may not be used in a waiting page"},
		{"other templates", `{{define "a"}}{{template "a"}}{{end}}x`, "the template must not define others"},
		{"blocks", `{{block "a" .}}{{end}}`, "the template must not define others"},
		{"itself", `{{template "page"}}`, "page:1:11: template may not be used in a waiting page"},
		{"long texts", `{{printf "%1000000d" 1}}`, "page:1:2: printf may not be used in a waiting page"},
		{"long texts of texts", `{{with (.Title | print .Title)}}{{end}}`, "page:1:17: print may not be used in a waiting page"},
		{"long texts in a chain", `{{(print .Title).A}}`, "page:1:3: print may not be used in a waiting page"},
		{"a page that grows beyond the bound", strings.Repeat("{{.Message}}", 900) + strings.Repeat("x", MaxBytes-900*12), "executing the template: the page has more than 65536 bytes"},
		{"too many tags", strings.Repeat("<p>", 1001), "the template has 1001 tags, more than 1000"},
		{"too many actions", strings.Repeat("{{.Title}}{{if .Estimate}}{{end}}", 501), "the template has 1002 actions and arguments, more than 1000"},
		{"a long pipe", "{{1" + strings.Repeat("|not", 1000) + "}}", "the template has 1001 actions and arguments, more than 1000"},
		{"long arguments", "{{or" + strings.Repeat(" .Title", 1000) + "}}", "the template has 1001 actions and arguments, more than 1000"},
		{"end tags in a script", "<script>" + strings.Repeat("</x", 990) + strings.Repeat(`""`, 31000) + "</script>", "the template has 991 end tags, more than 129 for its length"},
		{"too many scripts", strings.Repeat("<script></script>", 21), "the template has 21 scripts, more than 20"},
		{"a script that changes", "<script>let a = {{.ElapsedSeconds}}</script>", errScript.Error()},
		{"a script that is there in parts", "<script>{{if .Estimate}}a{{end}}</script>", errScript.Error()},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if _, err := Parse(c.template, fixed); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// Whatever a template holds, it costs no more than its length allows.
func TestHostileTemplatesAreQuick(t *testing.T) {
	for reason, hostile := range map[string]string{
		"deep":      strings.Repeat("{{if .Title}}", 2500) + "x" + strings.Repeat("{{end}}", 2500),
		"long":      strings.Repeat("{{.RefreshInterval}}", MaxBytes/20),
		"variables": "{{$a := .Title}}" + strings.Repeat("{{$a = $a}}", 5000),
		"scripts":   strings.Repeat("<script>", maxTags),
		"a title":   "<title>" + strings.Repeat("<a", maxTags-1) + strings.Repeat(" ", MaxBytes-8-2*maxTags),
	} {
		start := time.Now()
		_, err := Parse(hostile, fixed)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v (%v)", reason, took, err)
		} else {
			t.Logf("%s: %v", reason, took)
		}
	}
}

func TestHostileFieldsAreText(t *testing.T) {
	hostile := fixed
	hostile.Title, hostile.Message = "</title><script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>\xff"
	page, err := Parse(`<title>{{.Title}}</title><p title="{{.Message}}" {{.Title}}>{{.Message}}`, hostile)
	if err != nil {
		t.Fatal(err)
	}
	got, err := page.Execute(hostile)
	if err != nil || strings.Contains(string(got), "<script") || strings.Contains(string(got), "<img") || strings.Contains(string(got), "\xff") {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestScriptsAreThoseOfEveryBranch(t *testing.T) {
	page, err := Parse(`<SCRIPT type="module">/* a */ b()</SCRIPT>{{if gt .ElapsedSeconds 999999}}<script>late()</script >{{end}}<script src=x></script>`, fixed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"  b()", "late()", ""}, Scripts(page.Literal())); diff != "" {
		t.Errorf("scripts (-want +got):\n%s", diff)
	}
}

package guide

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const page = `# A page

> Every command of this page is run by a test. More about that.

~~~yaml
# folder/objects.yaml
kind: ConfigMap
~~~

~~~console
$ cat folder/objects.yaml
# folder/objects.yaml
…
$ sleep 9 &
anything
$ echo one \
    two; printf 'spaces  \r\n\n'
one two
spaces
~~~
`

// fences are backticks, which a raw string cannot have.
func fences(text string) string { return strings.ReplaceAll(text, "~~~", "```") }

func TestPagesSayWhereTheyAreExecuted(t *testing.T) {
	for _, test := range []struct {
		reason, text string
		where        Where
		err          string
	}{
		{"this machine", page, Here, ""},
		{"a node", strings.Replace(page, "test.", "test on a real node.", 1), Node, ""},
		{"a node with Traefik", strings.Replace(page, "test. More about that.", "test on a real node with Traefik.", 1), Traefik, ""},
		{"not at all", "# A page\n\n> Not executed: it needs a GPU.\n\n~~~sh\nmake\n~~~\n", Nowhere, ""},
		{"a promise of a place that no test knows", strings.Replace(page, "test.", "test on the moon.", 1), "", "does not say"},
		{"no word about it", strings.Replace(page, "> Every", "> Some", 1), "", "does not say"},
		{"not executed, although the blocks look so", strings.Replace(page, "Every command of this page is run by a test.", "Not executed:", 1), "", "blocks of the language console"},
	} {
		got, err := read("page.md", fences(test.text))
		if got.Where != test.where || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v", test.reason, got.Where, err)
		}
	}
}

func TestRun(t *testing.T) {
	p, err := read("page.md", fences(page))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cat folder/objects.yaml", "sleep 9 &", "echo one \\\n    two; printf 'spaces  \\r\\n\\n'"}, p.Commands()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var background []string
	r := Runner{Folder: t.TempDir(), Patience: time.Minute, Background: func(line string) error {
		background = append(background, line)
		return nil
	}}
	if err := r.Run(t.Context(), p); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"sleep 9"}, background); diff != "" {
		t.Errorf("in the background (-want +got):\n%s", diff)
	}
}

func TestRunRepeatsACommand(t *testing.T) {
	p, err := read("page.md", fences("# A page\n\n> Every command of this page is run by a test.\n\n~~~console\n$ echo again >>log; wc -l <log\n3\n~~~\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := Runner{Folder: t.TempDir(), Patience: time.Minute}
	if err := r.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(r.Folder, "log")); err != nil || strings.Count(string(log), "again") != 3 {
		t.Errorf("%q, %v", log, err)
	}
}

func TestRunReportsWhatDiffers(t *testing.T) {
	for _, test := range []struct{ reason, text, err string }{
		{"other output", "~~~console\n$ echo one\ntwo\n~~~\n", "$ echo one\nprints (exit status 0)\none\nwant"},
		{"more output", "~~~console\n$ echo one; echo two\none\n~~~\n", "one\ntwo\nwant"},
		{"output where none is promised", "~~~console\n$ echo one\n~~~\n", "prints (exit status 0)\none"},
		{"a failure", "~~~console\n$ false\ndone\n~~~\n", "prints (exit status 1)"},
		{"a failure with any output", "~~~console\n$ echo no; false\n…\n~~~\n", "prints (exit status 1)\nno"},
		{"a failure without output", "~~~console\n$ false\n~~~\n", "prints (exit status 1)"},
		{"a command that does not end", "~~~console\n$ exec sleep 60\n~~~\n", "$ exec sleep 60\nprints ("},
		{"a file without a name", "~~~yaml\nkind: ConfigMap\n~~~\n", "block at line 6: the first line must be a comment"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			t.Parallel()
			p, err := read("page.md", fences("# A page\n\n> Every command of this page is run by a test.\n\n"+test.text))
			if err != nil {
				t.Fatal(err)
			}
			r := Runner{Folder: t.TempDir(), Patience: 3 * time.Second}
			if err := r.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Error(err)
			}
		})
	}
}

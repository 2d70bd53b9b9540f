package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		reason, message string
		want            string // part of the only finding, or empty
	}{
		{"a component, an imperative, a body", "forward: close idle connections\n\nThey outlived their endpoint.\n", ""},
		{"two components", "docs, ci: install what the guides need\n\nThe runner lacks openssl.\n", ""},
		{"a path as component", "interceptor/body: cap what is read\n\nA tenant chose the length.\n", ""},
		{"git's own subject of a revert", "Revert \"httpserver: wait before reading what shows that a client has left\"\n\nThis reverts commit de04ded.\n", ""},
		{"the number that GitHub adds does not count", "forward: " + strings.Repeat("x", 60) + " (#12345)\n\nWhy.\n", ""},
		{"characters count, not bytes", "page: " + strings.Repeat("é", 66) + "\n\nWhy.\n", ""},
		{"73 characters", "page: " + strings.Repeat("x", 67) + "\n\nWhy.\n", "73 characters"},
		{"no component", "Close idle connections\n\nWhy.\n", "component"},
		{"a sentence before the colon", "Watch closely: it moves\n\nWhy.\n", "component"},
		{"a fixup that was not squashed", "fixup! forward: close idle connections\n\nWhy.\n", "component"},
		{"a period", "forward: close idle connections.\n\nWhy.\n", "period"},
		{"no body", "forward: close idle connections\n", "body is missing"},
		{"a trailer is no body", "forward: close idle connections\n\nSigned-off-by: A <a@example.com>\n", "body is missing"},
		{"a revert needs a body", "Revert \"forward: close idle connections\"\n", "body is missing"},
		{"a body right below the subject", "forward: close idle connections\nWhy.\n", "below the subject"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			got := check(test.message)
			if test.want == "" && len(got) > 0 {
				t.Errorf("check() = %q, want none", got)
			}
			if test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
				t.Errorf("check() = %q, want one that contains %q", got, test.want)
			}
		})
	}
}

func TestRunReadsTheHistoryOfThisClone(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} { // a git hook sets them
		t.Setenv(name, "") // restores the value at the end
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(folder))
	must := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{
			"-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false",
		}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	expect := func(base string, findings int, text string) {
		t.Helper()
		var out strings.Builder
		got, err := run(base, &out)
		if err != nil || got != findings || !strings.Contains(out.String(), text) {
			t.Errorf("run(%s) = %d, %v, want %d and %q in:\n%s", base, got, err, findings, text, out.String())
		}
	}

	expect(strings.Repeat("0", 40), 0, "not checked")
	must("init", "--quiet")
	must("commit", "--quiet", "--allow-empty", "-m", "Before the rules")
	base := must("rev-parse", "HEAD")
	expect(base, 0, "0 checked")
	must("commit", "--quiet", "--allow-empty", "-m", "forward: close idle connections", "-m", "They outlived their endpoint.")
	expect(base, 0, "1 checked")
	must("commit", "--quiet", "--allow-empty", "-m", "More")
	expect(base, 2, `"More": the body is missing`)

	shallow := filepath.Join(t.TempDir(), "shallow")
	must("clone", "--quiet", "--depth=1", "file://"+folder, shallow)
	t.Chdir(shallow)
	expect(base, 0, "not checked")
}

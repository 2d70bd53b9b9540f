// Command commits checks the messages of commits by the rules of docs/contributing/style.md.
// `make lint-commits` runs it in the repository's root.
//
//	commits BASE    every commit from BASE, exclusive, to HEAD
//
// It passes, with a note, if the history is missing: in a shallow clone, or in a copy of the
// files without a repository.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: commits BASE")
		os.Exit(2)
	}
	findings, err := run(os.Args[1], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if findings > 0 {
		os.Exit(1)
	}
}

// run writes one line per finding to out and returns how many there are.
func run(base string, out io.Writer) (findings int, err error) {
	if _, err := git("merge-base", "--is-ancestor", base, "HEAD"); err != nil {
		// git names the cause: no repository, no such commit, a shallow clone.
		fmt.Fprintf(out, "commit messages not checked: this clone has no history back to %.12s (%v)\n", base, err)
		return 0, nil
	}
	log, err := git("log", "--no-merges", "--reverse", "-z", "--format=%h%n%B", base+"..HEAD")
	if err != nil {
		return 0, fmt.Errorf("reading commit messages: %w", err)
	}
	commits := strings.FieldsFunc(log, func(r rune) bool { return r == 0 })
	for _, commit := range commits {
		hash, message, _ := strings.Cut(commit, "\n")
		subject, _, _ := strings.Cut(message, "\n")
		for _, finding := range check(message) {
			fmt.Fprintf(out, "%s %q: %s\n", hash, subject, finding)
			findings++
		}
	}
	fmt.Fprintf(out, "commit messages: %d checked, %d findings\n", len(commits), findings)
	return findings, nil
}

// git returns what git prints. Its error holds what git says about it.
func git(args ...string) (string, error) {
	var stderr strings.Builder
	command := exec.Command("git", args...)
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(stdout), nil
}

const maxSubject = 72 // what `git log --oneline` shows on 80 columns

var (
	// component matches "forward: " and "docs, ci: ", as well as paths such as "interceptor/body: ".
	component = regexp.MustCompile(`^[a-z0-9][a-z0-9./-]*(, [a-z0-9][a-z0-9./-]*)*: \S`)
	// pullRequest is what GitHub appends to the subject of a squashed pull request.
	pullRequest = regexp.MustCompile(` \(#[0-9]+\)$`)
	trailer     = regexp.MustCompile(`^[A-Z][A-Za-z-]*: \S`)
)

// check returns what is wrong with a commit message, or nil. A machine cannot tell
// whether a subject is imperative; reviewers can.
func check(message string) []string {
	subject, body, _ := strings.Cut(strings.TrimSpace(message), "\n")
	var findings []string
	if !strings.HasPrefix(subject, `Revert "`) { // git writes it, around a subject of any length
		subject = pullRequest.ReplaceAllString(subject, "")
		if n := utf8.RuneCountInString(subject); n > maxSubject {
			findings = append(findings, fmt.Sprintf("the subject has %d characters, at most %d are allowed", n, maxSubject))
		}
		if !component.MatchString(subject) {
			findings = append(findings, "the subject does not begin with a component, as in \"forward: close idle connections\"")
		}
		if strings.HasSuffix(subject, ".") {
			findings = append(findings, "the subject ends with a period")
		}
	}
	if !hasText(body) {
		findings = append(findings, "the body is missing: say why the change is made")
	}
	if first, _, _ := strings.Cut(body, "\n"); strings.TrimSpace(first) != "" {
		findings = append(findings, "the line below the subject is not empty")
	}
	return findings
}

// hasText reports whether a body has a line that is not a trailer such as Signed-off-by.
func hasText(body string) bool {
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if strings.ContainsFunc(line, unicode.IsLetter) && !trailer.MatchString(line) {
			return true
		}
	}
	return false
}

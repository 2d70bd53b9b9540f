// Command latest runs the client tests with the newest version of every library. It lists the
// versions that changed, and the tests that fail with them but pass with the pinned ones. It
// works in a copy of the tests beside them.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// copied is the folder of the copy. It is a sibling, because the tests build what is two levels
// up. No pattern of packages matches it.
const copied = "../.clients-latest"

func main() {
	changes, err := run(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if changes {
		os.Exit(1)
	}
}

// run reports whether a test fails with the newest versions only.
func run(report io.Writer) (bool, error) {
	if err := duplicate(); err != nil {
		return false, err
	}
	defer os.RemoveAll(copied)
	for _, update := range []func(io.Writer) error{updateNode, updateGo} {
		if err := update(report); err != nil {
			return false, err
		}
	}
	failed, err := test(copied, nil)
	if err != nil {
		return false, err
	}
	if len(failed) == 0 {
		fmt.Fprintln(report, "All tests pass with the newest versions.")
		return false, nil
	}
	// A test that fails with the pinned versions too says nothing about the newer ones.
	before, err := test(".", failed)
	if err != nil {
		return false, err
	}
	only := false
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if _, both := before[name]; both {
			fmt.Fprintf(report, "fails with both versions: %s\n", name)
			continue
		}
		only = true
		fmt.Fprintf(report, "fails with the newest versions only: %s\n%s", name, failed[name])
	}
	return only, nil
}

// duplicate copies the tests without the installed modules.
func duplicate() error {
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	tracked, err := output(".", "git", "ls-files", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.Lines(tracked) {
		name = strings.TrimSpace(name)
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(copied, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// updateNode installs the newest version of each package; an alias of an older major
// version keeps to it.
func updateNode(report io.Writer) error {
	dir := filepath.Join(copied, "node")
	file := filepath.Join(dir, "package.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var manifest map[string]json.RawMessage
	if err := json.Unmarshal(data, &manifest); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	for _, kind := range []string{"dependencies", "optionalDependencies"} {
		var pinned map[string]string
		if err := json.Unmarshal(manifest[kind], &pinned); err != nil {
			return fmt.Errorf("reading %s of %s: %w", kind, file, err)
		}
		for _, name := range slices.Sorted(maps.Keys(pinned)) {
			old, prefix, wanted := pinned[name], "", name+"@latest"
			if alias, ok := strings.CutPrefix(old, "npm:"); ok {
				at := strings.LastIndexByte(alias, '@')
				old, prefix = alias[at+1:], "npm:"+alias[:at+1]
				wanted = alias[:at+1] + "^" + old
			}
			if kind == "optionalDependencies" { // Node itself: its major version stays
				wanted = name + "@^" + old
			}
			newest, err := newestOf(dir, wanted)
			if err != nil {
				return err
			}
			if newest != old {
				fmt.Fprintf(report, "%-32s %s → %s\n", name, old, newest)
			}
			pinned[name] = prefix + newest
		}
		if manifest[kind], err = json.Marshal(pinned); err != nil {
			return err
		}
	}
	if data, err = json.MarshalIndent(manifest, "", "  "); err != nil {
		return err
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "package-lock.json")); err != nil {
		return err
	}
	_, err = output(dir, "npm", "install", "--no-progress")
	return err
}

// newestOf returns the newest version that npm finds for a package and a range.
func newestOf(dir, wanted string) (string, error) {
	out, err := output(dir, "npm", "view", wanted, "version", "--json")
	if err != nil {
		return "", err
	}
	var version string
	if json.Unmarshal([]byte(out), &version) == nil {
		return version, nil
	}
	var all []string
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) == 0 {
		return "", fmt.Errorf("npm view %s says %q", wanted, out)
	}
	return all[len(all)-1], nil
}

// updateGo takes the newest version of each module that the tests name.
func updateGo(report io.Writer) error {
	for _, dir := range []string{copied, filepath.Join(copied, "genkit")} {
		const direct = `{{if not (or .Main .Indirect)}}{{.Path}} {{.Version}}{{end}}`
		before, err := output(dir, "go", "list", "-m", "-f", direct, "all")
		if err != nil {
			return err
		}
		get := []string{"get"}
		for line := range strings.Lines(before) {
			if path, _, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				get = append(get, path+"@latest")
			}
		}
		if _, err := output(dir, "go", get...); err != nil {
			return err
		}
		if _, err := output(dir, "go", "mod", "tidy"); err != nil {
			return err
		}
		after, err := output(dir, "go", "list", "-m", "-f", direct, "all")
		if err != nil {
			return err
		}
		newer := map[string]string{}
		for line := range strings.Lines(after) {
			path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
			newer[path] = version
		}
		for line := range strings.Lines(before) {
			path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
			if newer[path] != version {
				fmt.Fprintf(report, "%-32s %s → %s\n", path, version, newer[path])
			}
		}
	}
	return nil
}

// test runs the tests, or those that are named, and returns the output of each that fails.
func test(dir string, only map[string]string) (map[string]string, error) {
	args := []string{"test", "-json", "-count=1", "-timeout=30m"}
	if only != nil {
		args = append(args, "-run", pattern(slices.Sorted(maps.Keys(only))))
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	said, failed, parents := map[string]string{}, map[string]string{}, map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Test == "" {
			continue
		}
		for i, c := range e.Test {
			if c == '/' {
				parents[e.Test[:i]] = true
			}
		}
		switch e.Action {
		case "output":
			said[e.Test] += e.Output
		case "fail":
			failed[e.Test] = said[e.Test]
		}
	}
	if err != nil && len(failed) == 0 {
		return nil, fmt.Errorf("testing in %s: %w\n%s", dir, err, out)
	}
	maps.DeleteFunc(failed, func(name, _ string) bool { return parents[name] })
	return failed, lines.Err()
}

// pattern matches tests by name, level by level.
func pattern(names []string) string {
	var levels [][]string
	for _, name := range names {
		for i, part := range strings.Split(name, "/") {
			if i == len(levels) {
				levels = append(levels, nil)
			}
			if part = "^" + regexp.QuoteMeta(part) + "$"; !slices.Contains(levels[i], part) {
				levels[i] = append(levels[i], part)
			}
		}
	}
	var all []string
	for _, parts := range levels {
		all = append(all, strings.Join(parts, "|"))
	}
	return strings.Join(all, "/")
}

// output runs a command and returns what it prints.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, failed.Bytes())
	}
	return string(out), nil
}

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
	"github.com/kedacore/http-add-on/tests/support/guide"
)

// Scenario p: what the documentation tells readers to do on a cluster.

// A page that says so is run as a reader would: by kubectl, helm and curl, in a new folder. "kubectl
// port-forward" listens on a loopback address that no other program uses, and curl connects there.
func TestGuides(t *testing.T) {
	pages := guides(t, guide.Node)
	commands := 0
	for _, page := range pages {
		commands += len(page.Commands())
		if changesRelease(page) {
			runGuide(t, page, begin)
		}
	}
	if commands < 30 {
		t.Errorf("the pages have only %d commands", commands)
	}
}

// Pages that leave the release as it is disturb no other scenario.
func TestGuidesTogether(t *testing.T) {
	t.Parallel()
	for _, page := range guides(t, guide.Node) {
		if !changesRelease(page) {
			runGuide(t, page, together)
		}
	}
}

// guides are all pages of a kind.
func guides(t *testing.T, where guide.Where) []guide.Page {
	t.Helper()
	pages, err := guide.Pages(world.Root())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(pages, func(page guide.Page) bool { return page.Where != where })
}

var releasePattern = regexp.MustCompile(`\bhelm (?:upgrade|install|rollback)\b`)

func changesRelease(page guide.Page) bool {
	return releasePattern.MatchString(strings.Join(page.Commands(), "\n"))
}

// runGuide runs a page as a subtest.
func runGuide(t *testing.T, page guide.Page, begin func(*testing.T, string) *scenario) {
	t.Helper()
	name := strings.TrimSuffix(filepath.Base(page.Path), ".md")
	t.Run(name, func(t *testing.T) {
		s := begin(t, "p-"+name)
		started := time.Now()
		s.runPage(page)
		s.Progress("%s: %d commands in %.0f s", filepath.Base(page.Path), len(page.Commands()), time.Since(started).Seconds())
	})
}

// guidePatience is more than a cooldown of a minute, and a restart of all interceptors.
const guidePatience = 5 * time.Minute

// guideAddresses are how many loopback addresses stood for localhost in the commands of a page.
var guideAddresses atomic.Int32

var createPattern = regexp.MustCompile(`kubectl create (?:-n (\S+) )?(namespace|secret) (?:tls )?(\S+)`)

// runPage runs a page in a folder that also has the chart and the examples. The namespace of the scenario is that of
// commands that name none. At the end, it removes what the page made, and undoes changes of the release.
func (s *scenario) runPage(page guide.Page) {
	s.Helper()
	folder := s.TempDir()
	for _, name := range []string{"charts", "examples"} {
		s.must(os.Symlink(filepath.Join(s.Root(), name), filepath.Join(folder, name)))
	}
	address := fmt.Sprintf("127.64.80.%d", guideAddresses.Add(1))
	write := func(name, text string) { s.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600)) }
	write(".curlrc", "connect-to = \"::"+address+":\"\nno-progress-meter\n") // as in a terminal
	write("kuberc", `apiVersion: kubectl.config.k8s.io/v1beta1
kind: Preference
defaults:
  - command: port-forward
    options: [{name: address, default: "`+address+`"}]
`)
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	s.must(err)
	config.Contexts[config.CurrentContext].Namespace = s.Namespace
	s.must(clientcmd.WriteToFile(*config, filepath.Join(folder, "kubeconfig")))
	env := []string{
		"HOME=" + folder, "CURL_HOME=" + folder, "KUBERC=" + filepath.Join(folder, "kuberc"), "KUBECONFIG=" + filepath.Join(folder, "kubeconfig"),
		"PATH=" + s.Path() + ":" + os.Getenv("PATH"),
	}
	s.restore(page, folder)

	log, err := os.Create(filepath.Join(folder, "background.log"))
	s.must(err)
	defer func() { _ = log.Close() }()
	var background []*exec.Cmd
	stop := func() {
		for _, command := range background {
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			_ = command.Wait() // it was killed
		}
	}
	defer stop()
	r := guide.Runner{Folder: folder, Env: env, Patience: guidePatience, Background: func(line string) error {
		// A reader types it again when it fails, as port-forward does if its first connection does.
		command := exec.Command("bash", "-c", "until "+line+"\ndo sleep 1; done")
		command.Dir, command.Env = folder, append(os.Environ(), env...)
		command.Stdout, command.Stderr = log, log
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := command.Start(); err != nil {
			return err
		}
		background = append(background, command)
		return nil
	}}
	if err := r.Run(s.ctx, page); err != nil {
		said, _ := os.ReadFile(log.Name())
		s.Fatalf("%v\nin the background: %s", err, said)
	}
}

// restore removes what an earlier run of a page left, now and when the test ends.
func (s *scenario) restore(page guide.Page, folder string) {
	s.Helper()
	lines := strings.Join(page.Commands(), "\n")
	remove := func(ctx context.Context) {
		for _, match := range createPattern.FindAllStringSubmatch(lines, -1) {
			_, err := s.Kubectl(ctx, "", "delete", "--namespace="+match[1], match[2], match[3], "--ignore-not-found", "--timeout=2m")
			s.try(err)
		}
	}
	remove(s.ctx)
	revision := s.revision(s.ctx)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), guidePatience)
		defer cancel()
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		s.try(err)
		for _, file := range slices.Backward(files) {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "\nkind: ") {
				_, err := s.Kubectl(ctx, "", "delete", "--kubeconfig="+filepath.Join(folder, "kubeconfig"), "--ignore-not-found", "--wait=false", "--filename="+file)
				s.try(err)
			}
		}
		remove(ctx)
		if changesRelease(page) && s.revision(ctx) != revision {
			_, err := s.Helm(ctx, "rollback", cluster.Release, strconv.Itoa(revision))
			s.try(err)
			s.try(s.AwaitInstalled(ctx))
		}
	})
}

// try reports an error without ending the test.
func (s *scenario) try(err error) {
	s.Helper()
	if err != nil {
		s.Error(err)
	}
}

// revision returns the number of the release's last change.
func (s *scenario) revision(ctx context.Context) int {
	s.Helper()
	out, err := s.Helm(ctx, "status", cluster.Release, "--output=json")
	s.must(err)
	var status struct{ Version int }
	s.must(json.Unmarshal([]byte(out), &status))
	return status.Version
}

// The examples work as they are. A container may ask for a GPU on a node that pretends to have one.
func TestExamples(t *testing.T) {
	s := begin(t, "p-examples")
	nodes := s.kubectl("get", "nodes", "--output=name")
	node, _, _ := strings.Cut(nodes, "\n")
	patch := func(ctx context.Context, change string) error {
		_, err := s.Kubectl(ctx, "", "patch", node, "--subresource=status", "--type=json", "--patch="+change)
		return err
	}
	const gpu = `{"op": "%[1]s", "path": "/status/capacity/nvidia.com~1gpu"%[2]s}, {"op": "%[1]s", "path": "/status/allocatable/nvidia.com~1gpu"%[2]s}`
	s.must(patch(s.ctx, fmt.Sprintf("["+gpu+"]", "add", `, "value": "1"`)))
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.try(patch(ctx, fmt.Sprintf("["+gpu+"]", "remove", "")))
	})
	for _, name := range []string{"app", "llm"} {
		text, err := os.ReadFile(filepath.Join(s.Root(), "examples/kubernetes", name+".yaml"))
		s.must(err)
		s.apply(string(text))
	}
	s.awaitReady("HTTPScaledObject/app", "ScaledObject/app", "InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("app", 0)
	s.awaitReplicas("llm", 0)

	s.checkPage("app.example.com", "Waking up the application, please wait...")
	s.awaitAwake("app.example.com")
	answer := s.ask("llm.example.com", "Are you there?")
	message, rest, separated := strings.Cut(answer.text(), "\n\n---\n\n")
	if answer.err != nil || !answer.done || message != "The model is loading, this takes a minute or two..." || !separated || rest == "" {
		t.Errorf("a streaming client gets %+v", answer)
	}
}

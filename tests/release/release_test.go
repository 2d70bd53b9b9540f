//go:build release

// Package release checks the files of a release, as hack/release.sh made them, and
// installs its manifests and its chart on a real kube-apiserver.
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

const root = "../.."

// components have an image each.
var components = []string{"interceptor", "operator", "scaler"}

// scaledObjects stands in for KEDA's own definition.
const scaledObjects = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scaledobjects.keda.sh}
spec:
  group: keda.sh
  scope: Namespaced
  names: {kind: ScaledObject, plural: scaledobjects, singular: scaledobject, listKind: ScaledObjectList}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// release is the folder of a release, made with these settings.
type release struct {
	*testing.T
	folder, version, registry string
	platforms                 []string
}

// begin reads the settings of make test-release from the environment.
func begin(t *testing.T) release {
	t.Helper()
	r := release{
		T: t, folder: filepath.Join(root, os.Getenv("OUT")), version: os.Getenv("VERSION"), registry: os.Getenv("REGISTRY"),
		platforms: strings.Split(os.Getenv("PLATFORMS"), ","),
	}
	if r.version == "" || r.registry == "" {
		t.Fatal("no release to check: use make test-release")
	}
	return r
}

func (r release) file(name string) string { return filepath.Join(r.folder, name) }

func (r release) read(name string) string {
	r.Helper()
	text, err := os.ReadFile(r.file(name))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

func (r release) sum(name string) string {
	r.Helper()
	sum := sha256.Sum256([]byte(r.read(name)))
	return hex.EncodeToString(sum[:])
}

// run returns what a program writes to both of its outputs.
func (r release) run(program string, args ...string) string {
	r.Helper()
	out, err := exec.CommandContext(r.Context(), program, args...).CombinedOutput()
	if err != nil {
		r.Fatalf("running %s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// tool returns the path of a program that hack/tools builds.
func (r release) tool(module, name string) string {
	r.Helper()
	command := exec.CommandContext(r.Context(), root+"/hack/tools/install.sh", module, name)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		r.Fatalf("installing %s: %v", name, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), name)
}

func TestFiles(t *testing.T) {
	r := begin(t)
	entries, err := os.ReadDir(r.folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	chart := "keda-add-ons-http-" + r.version
	want := []string{
		"artifacthub-repo.yml", "chart", "checksums.txt", "checksums.txt.sigstore.json", "images", "index.yaml",
		chart + "-crds.yaml", chart + ".tgz", chart + ".yaml",
		"provenance.intoto.json", "release-notes.md", "sbom", "throwaway.pub",
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		if slices.Contains(r.platforms, platform) {
			want = append(want, "standalone-"+strings.ReplaceAll(platform, "/", "-"))
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if notes := r.read("release-notes.md"); len(notes) < 100 {
		t.Errorf("the notes are %q", notes)
	}
	if index := r.read("index.yaml"); !strings.Contains(index, "/releases/download/v"+r.version+"/"+chart+".tgz") {
		t.Errorf("the index does not lead to the package:\n%s", index)
	}
	if digest := r.sum(chart + ".tgz"); !hasBlob(r, "chart", digest) {
		t.Errorf("the chart's layout does not have the package %s", digest)
	}
}

func hasBlob(r release, layout, digest string) bool {
	_, err := os.Stat(r.file(layout + "/blobs/sha256/" + digest))
	return err == nil
}

// Artifact Hub shows what these annotations say.
func TestChart(t *testing.T) {
	r := begin(t)
	described := r.run(r.tool("charts", "helm"), "show", "chart", r.file("keda-add-ons-http-"+r.version+".tgz"))
	for _, field := range []string{"artifacthub.io/changes", "artifacthub.io/crds", "artifacthub.io/crdsExamples", "artifacthub.io/images", "artifacthub.io/license", "icon", "kubeVersion"} {
		if !strings.Contains(described, field+": ") {
			t.Errorf("the chart has no %s", field)
		}
	}
	for _, name := range components {
		if image := r.registry + "/http-add-on-" + name + ":" + r.version; !strings.Contains(described, image) {
			t.Errorf("the chart's annotations do not have %s", image)
		}
	}
}

func TestProvenance(t *testing.T) {
	r := begin(t)
	var statement struct {
		Subject []struct {
			Name   string
			Digest struct{ SHA256 string }
		}
		PredicateType string
		Predicate     struct {
			BuildDefinition struct {
				ResolvedDependencies []struct {
					Digest struct{ GitCommit string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(r.read("provenance.intoto.json")), &statement); err != nil {
		t.Fatal(err)
	}
	if statement.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("the predicate is %q", statement.PredicateType)
	}
	commit := r.run("git", "-C", root, "rev-parse", "HEAD")
	if got := statement.Predicate.BuildDefinition.ResolvedDependencies[0].Digest.GitCommit; got != commit {
		t.Errorf("it was built from %q, want %q", got, commit)
	}
	images := 0
	for _, subject := range statement.Subject {
		if name, ok := strings.CutPrefix(subject.Name, r.registry+"/http-add-on-"); ok {
			images++
			if !hasBlob(r, "images/"+name, subject.Digest.SHA256) {
				t.Errorf("%s is not %s", name, subject.Digest.SHA256)
			}
			continue
		}
		if got := r.sum(subject.Name); got != subject.Digest.SHA256 {
			t.Errorf("%s has the digest %s, want %s", subject.Name, got, subject.Digest.SHA256)
		}
	}
	if images != len(components) {
		t.Errorf("%d images have provenance, want %d", images, len(components))
	}
	lines := strings.Split(strings.TrimSpace(r.read("checksums.txt")), "\n")
	if len(lines) != len(statement.Subject)-images+1 { // one more for the statement
		t.Errorf("%d files have a checksum, %d subjects of the statement are files", len(lines), len(statement.Subject)-images)
	}
	for _, line := range lines {
		if want, name, _ := strings.Cut(line, "  "); r.sum(name) != want {
			t.Errorf("%s does not have the checksum %s", name, want)
		}
	}
}

// hack/release.sh verified the signatures of images and chart while their registry ran.
func TestSignature(t *testing.T) {
	r := begin(t)
	verify := []string{
		"verify-blob", "--key", r.file("throwaway.pub"), "--insecure-ignore-tlog", "--bundle", r.file("checksums.txt.sigstore.json"),
	}
	cosign := r.tool("images", "cosign")
	r.run(cosign, append(verify, r.file("checksums.txt"))...)
	if out, err := exec.CommandContext(t.Context(), cosign, append(verify, r.file("index.yaml"))...).CombinedOutput(); err == nil {
		t.Errorf("the signature fits another file:\n%s", out)
	}
}

func TestSBOMs(t *testing.T) {
	r := begin(t)
	for _, name := range components {
		for _, platform := range r.platforms {
			file := "sbom/" + name + "-" + strings.ReplaceAll(platform, "/", "-") + ".spdx.json"
			var document struct {
				SPDXVersion string
				Packages    []struct{ Name string }
			}
			if err := json.Unmarshal([]byte(r.read(file)), &document); err != nil {
				t.Error(err)
			}
			if !strings.HasPrefix(document.SPDXVersion, "SPDX-2") || len(document.Packages) < 20 {
				t.Errorf("%s: %s with %d packages", file, document.SPDXVersion, len(document.Packages))
			}
		}
	}
}

// Debian's qemu-user-static runs binaries for another processor, if PLATFORMS asks for them.
func TestStandalone(t *testing.T) {
	r := begin(t)
	emulators := map[string]string{"linux/amd64": "qemu-x86_64-static", "linux/arm64": "qemu-aarch64-static"}
	for _, platform := range r.platforms {
		emulator, ok := emulators[platform]
		if !ok {
			continue // images only
		}
		command := []string{emulator, r.file("standalone-" + strings.ReplaceAll(platform, "/", "-")), "--version"}
		if platform == "linux/"+runtime.GOARCH {
			command = command[1:]
		}
		want := "standalone " + r.version + " " + platform
		if got := r.run(command[0], command[1:]...); got != want {
			t.Errorf("the version is %q, want %q", got, want)
		}
	}
}

func TestInstallation(t *testing.T) {
	r := begin(t)
	cluster, err := controlplane.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubectl := func(stdin string, args ...string) string {
		t.Helper()
		out, err := cluster.Kubectl(t.Context(), stdin, args...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	definitions := []string{"crd/interceptorroutes.http.keda.sh", "crd/httpscaledobjects.http.keda.sh"}
	absent := func() { kubectl("", append([]string{"delete", "--wait", "--ignore-not-found"}, definitions...)...) }
	present := func() { kubectl("", append([]string{"wait", "--for=condition=Established"}, definitions...)...) }
	installed := func(how string) {
		t.Helper()
		got := strings.Fields(kubectl("", "get", "--namespace=keda", "deployments", "--output=jsonpath={.items[*].spec.template.spec.containers[*].image}"))
		slices.Sort(got)
		var want []string
		for _, name := range components {
			want = append(want, r.registry+"/http-add-on-"+name+":"+r.version)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("images by %s (-want +got):\n%s", how, diff)
		}
	}
	kubectl(scaledObjects, "create", "-f", "-")
	kubectl("", "wait", "--for=condition=Established", "crd/scaledobjects.keda.sh")
	kubectl("", "create", "namespace", "keda")

	// Installers of the original apply the definitions first, then everything.
	name := "keda-add-ons-http-" + r.version
	absent()
	kubectl("", "apply", "--server-side", "-f", r.file(name+"-crds.yaml"))
	present()
	for range 2 { // the second time nothing conflicts
		kubectl("", "apply", "--server-side", "-f", r.file(name+".yaml"))
	}
	installed("manifests")
	kubectl("", "delete", "-f", r.file(name+".yaml"))

	absent()
	r.run(r.tool("charts", "helm"), "install", "http-add-on", r.file(name+".tgz"), "--namespace", "keda", "--kubeconfig", cluster.Kubeconfig)
	present()
	installed("chart")
}

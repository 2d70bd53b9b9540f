//go:build e2e && traefik

package e2e

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/guide"
)

//go:embed traefik.yaml
var traefikManifest string

// Scenario r: a node whose registry has Traefik (make bench-traefik), which runs the pages that need it.
func TestTraefikGuides(t *testing.T) {
	s := begin(t, "traefik")
	definitions := gatewayDefinitions(s)
	_, err := s.Kubectl(s.ctx, "", "apply", "--server-side", "--filename="+definitions)
	s.must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), guidePatience)
		defer cancel()
		_, err := s.Kubectl(ctx, traefikManifest, "delete", "--namespace="+s.Namespace, "--ignore-not-found", "--filename=-")
		s.try(err)
		_, err = s.Kubectl(ctx, "", "delete", "--ignore-not-found", "--filename="+definitions)
		s.try(err)
	})
	s.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename="+definitions)
	s.apply(traefikManifest)
	s.kubectl("rollout", "status", "deployment/traefik", "--timeout=2m")
	commands := 0
	for _, page := range guides(t, guide.Traefik) {
		commands += len(page.Commands())
		runGuide(t, page, begin)
	}
	if commands < 20 {
		t.Errorf("only %d commands were executed", commands)
	}
}

// gatewayDefinitions returns the folder of the definitions of the Gateway API, of the version that Traefik is built with.
func gatewayDefinitions(s *scenario) string {
	s.Helper()
	command := exec.CommandContext(s.ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api")
	command.Dir, command.Stderr = filepath.Join(s.Root(), "hack/tools/traefik"), os.Stderr
	out, err := command.Output()
	s.must(err)
	return filepath.Join(strings.TrimSpace(string(out)), "config/crd/standard")
}

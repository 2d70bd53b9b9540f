// Package kedacrd finds KEDA's CustomResourceDefinitions and other manifests in its Go module, of the
// version that hack/tools/keda pins. It downloads nothing but that module, and
// builds nothing.
package kedacrd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

// ScaledObject returns the path of the definition of ScaledObjects.
func ScaledObject(ctx context.Context) (string, error) {
	folder, err := Module(ctx)
	if err != nil {
		return "", fmt.Errorf("finding KEDA's Go module: %w", err)
	}
	return filepath.Join(folder, "config/crd/bases/keda.sh_scaledobjects.yaml"), nil
}

// Module returns the folder of KEDA's module in the module cache, which has its
// manifests in config.
func Module(ctx context.Context) (string, error) {
	root, err := controlplane.Root()
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", "github.com/kedacore/keda/v2")
	command.Dir = filepath.Join(root, "hack/tools/keda")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("running go mod download: %w: %s", err, stderr.String())
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(stdout.Bytes(), &downloaded); err != nil {
		return "", fmt.Errorf("reading what go mod download says: %w", err)
	}
	return downloaded.Dir, nil
}

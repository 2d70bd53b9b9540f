package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// check reads a layout back and returns a line about it. It fails if a platform is missing, or on
// anything that the chart's security contexts would refuse. It also fails on a binary that cannot
// run on its platform, or not on a base without a C library.
func check(folder, name string, labels map[string]string, platforms []string) (string, error) {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return "", err
	}
	if err := validate.Index(index); err != nil {
		return "", err
	}
	images, err := all(index)
	if err != nil {
		return "", err
	}
	var lines, found []string
	for _, image := range images {
		line, platform, err := checkImage(image, name, labels)
		if err != nil {
			return "", err
		}
		lines, found = append(lines, line), append(found, platform)
	}
	want := slices.Sorted(slices.Values(platforms))
	if slices.Sort(found); !slices.Equal(found, want) {
		return "", fmt.Errorf("images for %v, want %v", found, want)
	}
	return strings.Join(lines, "\n"), nil
}

// all returns the images of an index, those of indexes in it included.
func all(index v1.ImageIndex) ([]v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var images []v1.Image
	for _, descriptor := range manifest.Manifests {
		if descriptor.MediaType.IsIndex() {
			inner, err := index.ImageIndex(descriptor.Digest)
			if err != nil {
				return nil, err
			}
			more, err := all(inner)
			if err != nil {
				return nil, err
			}
			images = append(images, more...)
			continue
		}
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}

// machines are the processors that binaries are for.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "s390x": elf.EM_S390}

// checkImage returns a line about an image, and its platform.
func checkImage(image v1.Image, name string, labels map[string]string) (line, platform string, err error) {
	config, err := image.ConfigFile()
	if err != nil {
		return "", "", err
	}
	entrypoint := entrypointOf(name)
	if config.Config.User != user {
		return "", "", fmt.Errorf("the image runs as %q, want %s", config.Config.User, user)
	}
	if got := config.Config.Entrypoint; len(got) != 1 || got[0] != entrypoint {
		return "", "", fmt.Errorf("the entry point is %q, want %s", got, entrypoint)
	}
	for label, want := range labels {
		if got := config.Config.Labels[label]; got != want {
			return "", "", fmt.Errorf("the label %s is %q, want %q", label, got, want)
		}
	}
	files, err := contents(image)
	if err != nil {
		return "", "", err
	}
	binary, err := elf.NewFile(bytes.NewReader(files[entrypoint]))
	if err != nil {
		return "", "", fmt.Errorf("reading %s: %w", entrypoint, err)
	}
	if want := machines[config.Architecture]; binary.Machine != want {
		return "", "", fmt.Errorf("%s is for %s, want %s", entrypoint, binary.Machine, want)
	}
	libraries, err := binary.ImportedLibraries()
	if err != nil {
		return "", "", fmt.Errorf("reading %s: %w", entrypoint, err)
	}
	if len(libraries) > 0 {
		return "", "", fmt.Errorf("%s needs %v, want a static binary", entrypoint, libraries)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(files["/etc/ssl/certs/ca-certificates.crt"]) {
		return "", "", errors.New("no certificate authorities in the image")
	}
	digest, err := image.Digest()
	if err != nil {
		return "", "", err
	}
	platform = config.OS + "/" + config.Architecture
	return fmt.Sprintf("%s %s %s, binary %.1f MB", name, platform, digest, float64(len(files[entrypoint]))/1e6), platform, nil
}

// entrypointOf returns where ko puts the binary of an image.
func entrypointOf(name string) string { return "/ko-app/" + path.Base(name) }

// extractBinaries copies the binaries for this machine's architecture from the layouts of
// some images into a folder.
func extractBinaries(layouts, folder string, names []string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder for the binaries: %w", err)
	}
	for _, name := range names {
		binary, err := binaryOf(filepath.Join(layouts, name), name)
		if err != nil {
			return fmt.Errorf("reading the layout of %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, path.Base(name)), binary, 0o755); err != nil {
			return fmt.Errorf("writing the binary: %w", err)
		}
	}
	return nil
}

// binaryOf returns the binary for this machine's architecture.
func binaryOf(folder, name string) ([]byte, error) {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	images, err := all(index)
	if err != nil {
		return nil, err
	}
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			return nil, err
		}
		if config.Architecture != runtime.GOARCH {
			continue
		}
		files, err := contents(image)
		if err != nil {
			return nil, err
		}
		if binary, ok := files[entrypointOf(name)]; ok {
			return binary, nil
		}
		return nil, fmt.Errorf("no %s in the image", entrypointOf(name))
	}
	return nil, fmt.Errorf("no image for %s", runtime.GOARCH)
}

// contents returns the files of an image by name.
func contents(image v1.Image) (map[string][]byte, error) {
	flat := mutate.Extract(image)
	defer flat.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(flat); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files["/"+strings.TrimPrefix(header.Name, "/")] = text
	}
}

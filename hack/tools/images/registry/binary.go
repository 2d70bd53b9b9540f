package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is who the containers run as, as in the images that the binaries stand in for.
const user = "65532:65532"

// imageOf returns an image that has /tmp and binaries with their shared libraries. The first binary is at the path of the
// entry point, the others are at their own.
func imageOf(binaries []string, entrypoint string) (v1.Image, error) {
	path, _, _ := strings.Cut(entrypoint, " ")
	var files []file
	for i, binary := range binaries {
		needed, err := libraries(binary)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			path = binary
		}
		files = append(files, append(needed, file{binary, path})...)
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.to, b.to) })
	layer, err := layerOf(slices.Compact(files))
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.User, config.Config.Entrypoint = user, strings.Split(entrypoint, " ")
	return mutate.ConfigFile(image, config)
}

// file is a file of the machine, and its path in the image.
type file struct{ from, to string }

var libraryPattern = regexp.MustCompile(`(?m)^\t(?:\S+ => )?(/\S+) \(0x`)

// libraries returns what a binary needs of the machine besides itself; a static one needs nothing.
func libraries(binary string) ([]file, error) {
	parsed, err := elf.Open(binary)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", binary, err)
	}
	needed, err := parsed.ImportedLibraries()
	if err := errors.Join(err, parsed.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", binary, err)
	}
	if len(needed) == 0 {
		return nil, nil
	}
	out, err := exec.Command("ldd", binary).Output()
	if err != nil {
		return nil, fmt.Errorf("finding the libraries of %s: %w", binary, err)
	}
	var files []file
	for _, found := range libraryPattern.FindAllStringSubmatch(string(out), -1) {
		files = append(files, file{found[1], found[1]})
	}
	return files, nil
}

// filesLayer is a layer with files of the machine. It is not compressed and not kept in memory: KEDA's
// operator has 177 MB, and the node is on the same machine.
type filesLayer struct {
	parts   []part
	trailer []byte // ends the tar file
	size    int64
	digest  v1.Hash
}

// part is a file, and what precedes it in the tar file.
type part struct {
	header []byte
	path   string
	size   int64
}

const block = 512 // of a tar file

func layerOf(files []file) (*filesLayer, error) {
	var header bytes.Buffer
	w := tar.NewWriter(&header)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	l := &filesLayer{}
	for _, f := range files {
		info, err := os.Stat(f.from)
		if err != nil {
			return nil, err
		}
		err = tar.NewWriter(&header).WriteHeader(&tar.Header{
			Name: strings.TrimPrefix(f.to, "/"), Mode: 0o755, Size: info.Size(), Format: tar.FormatPAX,
		})
		if err != nil {
			return nil, err
		}
		l.parts = append(l.parts, part{header: bytes.Clone(header.Bytes()), path: f.from, size: info.Size()})
		header.Reset()
		header.Write(make([]byte, (block-info.Size()%block)%block)) // the file is padded to whole blocks
	}
	l.trailer = append(header.Bytes(), make([]byte, 2*block)...)
	content, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	hash := sha256.New()
	if l.size, err = io.Copy(hash, content); err != nil {
		return nil, err
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(hash.Sum(nil))}
	return l, nil
}

func (l *filesLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *filesLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *filesLayer) Size() (int64, error)                 { return l.size, nil }
func (l *filesLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
func (l *filesLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

func (l *filesLayer) Compressed() (io.ReadCloser, error) {
	content := &opened{}
	var readers []io.Reader
	for _, p := range l.parts {
		f, err := os.Open(p.path)
		if err != nil {
			return nil, errors.Join(err, content.Close())
		}
		content.files = append(content.files, f)
		readers = append(readers, bytes.NewReader(p.header), f)
	}
	content.Reader = io.MultiReader(append(readers, bytes.NewReader(l.trailer))...)
	return content, nil
}

// opened reads open files one after the other.
type opened struct {
	io.Reader
	files []*os.File
}

func (o *opened) Close() error {
	var all []error
	for _, f := range o.files {
		all = append(all, f.Close())
	}
	return errors.Join(all...)
}

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is who the containers run as, as in the images that the binaries stand in for.
const user = "65532:65532"

// imageOf returns an image that has a binary and /tmp.
func imageOf(binary, entrypoint string) (v1.Image, error) {
	path, _, _ := strings.Cut(entrypoint, " ")
	layer, err := layerOf(binary, path)
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

// binaryLayer is a layer that ends with one file. It is not compressed and not kept in memory: KEDA's
// operator has 177 MB, and the node is on the same machine.
type binaryLayer struct {
	header, trailer []byte // around the file in the tar file
	path            string
	size            int64
	digest          v1.Hash
}

func layerOf(binary, name string) (*binaryLayer, error) {
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	var header bytes.Buffer
	w := tar.NewWriter(&header)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{
		Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: info.Size(), Format: tar.FormatPAX,
	}); err != nil {
		return nil, err
	}
	const block = 512
	padding := (block - info.Size()%block) % block
	l := &binaryLayer{header: header.Bytes(), trailer: make([]byte, padding+2*block), path: binary}
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

func (l *binaryLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *binaryLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *binaryLayer) Size() (int64, error)                 { return l.size, nil }
func (l *binaryLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
func (l *binaryLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

func (l *binaryLayer) Compressed() (io.ReadCloser, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(l.header), file, bytes.NewReader(l.trailer)), file}, nil
}

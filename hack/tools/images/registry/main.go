// Command registry serves images of local files to one node, read-only and over plain HTTP. The
// node's containerd asks it for the images of every registry, so an image has its published name.
//
//	registry ADDRESS REFERENCE=LAYOUT|BINARY[,BINARY...]:ENTRYPOINT...
//
// LAYOUT is the folder of an OCI layout. BINARY becomes an image that has nothing else, except /tmp and the
// shared libraries of this machine that it needs. ENTRYPOINT is the binary's path in the image, and arguments
// after spaces. Further binaries keep their paths.
// Below slow/, each image has a second name, under which the registry takes its time.
package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// slowness is how long a manifest below slow/ takes. Its blobs may be on the node already.
const slowness = 5 * time.Second

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: registry ADDRESS REFERENCE=LAYOUT|BINARY[,BINARY...]:ENTRYPOINT...")
	}
	r := &registry{manifests: map[string]manifest{}, blobs: map[string]v1.Layer{}, configs: map[string][]byte{}}
	for _, arg := range os.Args[2:] {
		reference, path, _ := strings.Cut(arg, "=")
		if err := r.add(reference, path); err != nil {
			log.Fatalf("adding %s: %v", reference, err)
		}
		log.Printf("serving %s", reference)
	}
	server := &http.Server{Addr: os.Args[1], Handler: r, ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

// registry is the part of the distribution specification that pulling needs:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md. It does not change once
// it serves.
type registry struct {
	manifests map[string]manifest // by repository:tag, and by digest
	blobs     map[string]v1.Layer // by digest
	configs   map[string][]byte   // by digest
}

type manifest struct {
	mediaType types.MediaType
	digest    string
	content   []byte
}

// described is an image or an index.
type described interface {
	MediaType() (types.MediaType, error)
	Digest() (v1.Hash, error)
	RawManifest() ([]byte, error)
}

// add adds an image. Repositories with the same path in two registries are one.
func (r *registry) add(reference, path string) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	key := tag.RepositoryStr() + ":" + tag.TagStr()
	if binary, entrypoint, ok := strings.Cut(path, ":"); ok {
		image, err := imageOf(strings.Split(binary, ","), entrypoint)
		if err != nil {
			return err
		}
		return r.addImage(key, image)
	}
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return err
	}
	content, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if len(content.Manifests) != 1 {
		return fmt.Errorf("%d images in %s", len(content.Manifests), path)
	}
	return r.addFrom(index, key, content.Manifests[0])
}

// addFrom adds what a descriptor of an index describes.
func (r *registry) addFrom(index v1.ImageIndex, key string, descriptor v1.Descriptor) error {
	if !descriptor.MediaType.IsIndex() {
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			return err
		}
		return r.addImage(key, image)
	}
	inner, err := index.ImageIndex(descriptor.Digest)
	if err != nil {
		return err
	}
	content, err := inner.IndexManifest()
	if err != nil {
		return err
	}
	for _, descriptor := range content.Manifests {
		if err := r.addFrom(inner, "", descriptor); err != nil {
			return err
		}
	}
	return r.addManifest(key, inner)
}

func (r *registry) addImage(key string, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		r.blobs[digest.String()] = layer
	}
	digest, err := image.ConfigName()
	if err != nil {
		return err
	}
	if r.configs[digest.String()], err = image.RawConfigFile(); err != nil {
		return err
	}
	return r.addManifest(key, image)
}

func (r *registry) addManifest(key string, of described) error {
	mediaType, err := of.MediaType()
	if err != nil {
		return err
	}
	digest, err := of.Digest()
	if err != nil {
		return err
	}
	content, err := of.RawManifest()
	if err != nil {
		return err
	}
	m := manifest{mediaType: mediaType, digest: digest.String(), content: content}
	r.manifests[m.digest] = m
	if key != "" {
		r.manifests[key] = m
	}
	return nil
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	path, ok := strings.CutPrefix(request.URL.Path, "/v2/")
	if !ok {
		http.NotFound(w, request)
		return
	}
	if repository, reference, ok := strings.Cut(path, "/manifests/"); ok {
		r.serveManifest(w, request, repository, reference)
		return
	}
	if _, digest, ok := strings.Cut(path, "/blobs/"); ok {
		r.serveBlob(w, request, digest)
		return
	}
	if path != "" {
		http.NotFound(w, request)
	}
}

func (r *registry) serveManifest(w http.ResponseWriter, request *http.Request, repository, reference string) {
	repository, slow := fast(repository)
	m, ok := r.manifests[reference]
	if !ok {
		m, ok = r.manifests[repository+":"+reference]
		if slow {
			select {
			case <-time.After(slowness):
			case <-request.Context().Done():
				return
			}
		}
	}
	if !ok {
		http.NotFound(w, request)
		return
	}
	w.Header().Set("Content-Type", string(m.mediaType))
	w.Header().Set("Docker-Content-Digest", m.digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(m.content)))
	if request.Method != http.MethodHead {
		_, _ = w.Write(m.content)
	}
}

func (r *registry) serveBlob(w http.ResponseWriter, request *http.Request, digest string) {
	if config, ok := r.configs[digest]; ok {
		w.Header().Set("Content-Length", fmt.Sprint(len(config)))
		_, _ = w.Write(config)
		return
	}
	layer, ok := r.blobs[digest]
	if !ok {
		http.NotFound(w, request)
		return
	}
	size, err1 := layer.Size()
	content, err2 := layer.Compressed()
	if err := cmp.Or(err1, err2); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = content.Close() }()
	w.Header().Set("Content-Length", fmt.Sprint(size))
	if request.Method != http.MethodHead {
		_, _ = io.Copy(w, content)
	}
}

// fast returns the repository that a slow one is another name of, and reports whether it is slow.
// A name of Docker's registry without a slash begins with library/ there.
func fast(repository string) (string, bool) {
	rest, slow := strings.CutPrefix(repository, "slow/")
	if slow && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return rest, slow
}

// Command image builds the container images with ko, as .ko.yaml says, without a network and
// without pushing. It makes the base image itself, writes an OCI layout for each image, and
// checks it. It must not know what the binaries do.
//
//	image -out FOLDER [-platform linux/amd64] [-version VERSION] [-twice] NAME...
//	image -out FOLDER -version VERSION -release COMMIT -sbom FOLDER NAME...
//	image -out FOLDER -extract FOLDER NAME...
//
// The working folder is the root of the repository; NAME is a folder with a main package, as
// interceptor. SOURCE_DATE_EPOCH sets the time of creation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/ko/pkg/build"
	"github.com/google/ko/pkg/commands/options"
	"github.com/google/ko/pkg/publish"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	out := flag.String("out", "bin/images", "folder for the OCI layouts")
	platforms := flag.String("platform", "all", "platforms to build for, separated by commas; all is those of .ko.yaml")
	version := flag.String("version", "", "version to label the images with")
	release := flag.String("release", "", "commit of a release: the images are labeled with it, and the binaries report the version")
	sbom := flag.String("sbom", "", "folder for SPDX documents, one for each image and platform (default: make none)")
	twice := flag.Bool("twice", false, "build each image again and fail unless it is the same")
	extract := flag.String("extract", "", "build nothing; copy the binaries for this machine from the layouts into this folder")
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("no images named")
	}
	if *extract != "" {
		return extractBinaries(*out, *extract, flag.Args())
	}
	settings := options.BuildOptions{}
	if err := settings.LoadConfig(); err != nil {
		return fmt.Errorf("reading .ko.yaml: %w", err)
	}
	if *platforms != "all" {
		settings.DefaultPlatforms = strings.Split(*platforms, ",")
	}
	labels := labelsOf(*version, *release)
	if *release != "" {
		settings.DefaultLdflags = append(settings.DefaultLdflags, "-X=github.com/kedacore/http-add-on/pkg/version.released="+*version)
	}
	builder, err := newBuilder(ctx, settings, labels, *sbom)
	if err != nil {
		return err
	}
	for _, image := range flag.Args() {
		layout := filepath.Join(*out, image)
		digest, err := write(ctx, builder, image, layout)
		if err != nil {
			return fmt.Errorf("building %s: %w", image, err)
		}
		summary, err := check(layout, image, labels, settings.DefaultPlatforms)
		if err != nil {
			return fmt.Errorf("checking %s: %w", layout, err)
		}
		if *twice {
			if again, err := write(ctx, builder, image, layout+".again"); err != nil {
				return fmt.Errorf("building %s again: %w", image, err)
			} else if again != digest {
				return fmt.Errorf("building %s again: the image is %s and was %s", image, again, digest)
			}
			if err := os.RemoveAll(layout + ".again"); err != nil {
				return fmt.Errorf("clearing the second layout: %w", err)
			}
		}
		fmt.Println(summary)
	}
	return nil
}

// newBuilder returns ko's builder on our base image.
func newBuilder(ctx context.Context, settings options.BuildOptions, labels map[string]string, sbom string) (build.Interface, error) {
	base, err := baseIndex("amd64", "arm64", "s390x")
	if err != nil {
		return nil, fmt.Errorf("creating the base image: %w", err)
	}
	ref, err := name.ParseReference("images.invalid/base:latest")
	if err != nil {
		return nil, fmt.Errorf("naming the base image: %w", err)
	}
	created, err := creationTime()
	if err != nil {
		return nil, err
	}
	all := []build.Option{
		build.WithBaseImages(func(context.Context, string) (name.Reference, build.Result, error) { return ref, base, nil }),
		build.WithConfig(settings.BuildConfigs),
		build.WithDefaultEnv(settings.DefaultEnv),
		build.WithDefaultFlags(settings.DefaultFlags),
		build.WithDefaultLdflags(settings.DefaultLdflags),
		build.WithPlatforms(settings.DefaultPlatforms...),
		build.WithTrimpath(true),
		build.WithJobs(1),
		build.WithCreationTime(created),
	}
	for name, value := range labels {
		all = append(all, build.WithLabel(name, value))
	}
	if sbom == "" {
		all = append(all, build.WithDisabledSBOM())
	} else {
		all = append(all, build.WithSPDX(koVersion()), build.WithSBOMDir(sbom))
	}
	builder, err := build.NewGo(ctx, ".", all...)
	if err != nil {
		return nil, fmt.Errorf("preparing the build: %w", err)
	}
	return builder, nil
}

// koVersion returns the version of ko, which SBOMs name as their creator.
func koVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/google/ko" {
				return module.Version
			}
		}
	}
	return "(unknown)"
}

// creationTime returns the time of SOURCE_DATE_EPOCH, which ko's own command reads too:
// https://reproducible-builds.org/specs/source-date-epoch/
func creationTime() (v1.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return v1.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return v1.Time{}, fmt.Errorf("reading SOURCE_DATE_EPOCH: %w", err)
	}
	return v1.Time{Time: time.Unix(seconds, 0).UTC()}, nil
}

// write builds one image into a new layout and returns its digest.
func write(ctx context.Context, builder build.Interface, image, layout string) (v1.Hash, error) {
	if err := os.RemoveAll(layout); err != nil {
		return v1.Hash{}, fmt.Errorf("clearing the last layout: %w", err)
	}
	path, err := builder.QualifyImport("./" + image)
	if err != nil {
		return v1.Hash{}, err
	}
	result, err := builder.Build(ctx, path)
	if err != nil {
		return v1.Hash{}, err
	}
	publisher := publish.NewLayout(layout)
	if _, err := publisher.Publish(ctx, result, path); err != nil {
		return v1.Hash{}, err
	}
	if err := publisher.Close(); err != nil {
		return v1.Hash{}, err
	}
	return result.Digest()
}

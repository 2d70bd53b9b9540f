// Command image builds the container images with ko, as .ko.yaml says, without a network and
// without pushing. It makes the base image itself, writes an OCI layout for each image, and
// checks it. It must not know what the binaries do.
//
//	image -out FOLDER [-platform linux/amd64] [-version VERSION] [-twice] NAME...
//
// The working folder is the root of the repository; NAME is a folder with a main package, as
// interceptor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

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
	twice := flag.Bool("twice", false, "build each image again and fail unless it is the same")
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("no images named")
	}
	settings := options.BuildOptions{}
	if err := settings.LoadConfig(); err != nil {
		return fmt.Errorf("reading .ko.yaml: %w", err)
	}
	if *platforms != "all" {
		settings.DefaultPlatforms = strings.Split(*platforms, ",")
	}
	builder, err := newBuilder(ctx, settings, *version)
	if err != nil {
		return err
	}
	for _, image := range flag.Args() {
		layout := filepath.Join(*out, image)
		digest, err := write(ctx, builder, image, layout)
		if err != nil {
			return fmt.Errorf("building %s: %w", image, err)
		}
		summary, err := check(layout, image, *version, settings.DefaultPlatforms)
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
func newBuilder(ctx context.Context, settings options.BuildOptions, version string) (build.Interface, error) {
	base, err := baseIndex("amd64", "arm64")
	if err != nil {
		return nil, fmt.Errorf("creating the base image: %w", err)
	}
	ref, err := name.ParseReference("images.invalid/base:latest")
	if err != nil {
		return nil, fmt.Errorf("naming the base image: %w", err)
	}
	var labelled []build.Option
	for name, value := range labelsOf(version) {
		labelled = append(labelled, build.WithLabel(name, value))
	}
	builder, err := build.NewGo(ctx, ".", append(labelled,
		build.WithBaseImages(func(context.Context, string) (name.Reference, build.Result, error) { return ref, base, nil }),
		build.WithConfig(settings.BuildConfigs),
		build.WithDefaultEnv(settings.DefaultEnv),
		build.WithDefaultFlags(settings.DefaultFlags),
		build.WithDefaultLdflags(settings.DefaultLdflags),
		build.WithPlatforms(settings.DefaultPlatforms...),
		build.WithTrimpath(true),
		build.WithJobs(1),
		build.WithDisabledSBOM(),
		build.WithCreationTime(v1.Time{}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("preparing the build: %w", err)
	}
	return builder, nil
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

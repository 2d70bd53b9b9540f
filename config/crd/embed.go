// Package crd carries the generated CustomResourceDefinitions of this project. They are for
// programs without an API server to ask (standalone) and for programs that install them (tests).
// The package must not know their content.
package crd

import (
	"embed"
	"fmt"
	"path"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var bases embed.FS

// Definitions returns the CustomResourceDefinitions, ordered by file name. The
// caller owns them.
func Definitions() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	entries, err := bases.ReadDir("bases")
	if err != nil {
		return nil, fmt.Errorf("reading the embedded definitions: %w", err)
	}
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, entry := range entries {
		text, err := bases.ReadFile(path.Join("bases", entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the embedded definitions: %w", err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, definition); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", entry.Name(), err)
		}
		all = append(all, definition)
	}
	return all, nil
}

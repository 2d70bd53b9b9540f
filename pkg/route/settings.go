package route

import (
	"math"
	"slices"

	"github.com/kedacore/http-add-on/pkg/environment"
)

// What interceptor and operator must agree on. The names are ours.
const (
	EnvMaxMatchesPerObject    = "KEDA_HTTP_MAX_MATCHES_PER_OBJECT"
	EnvMaxMatchesPerNamespace = "KEDA_HTTP_MAX_MATCHES_PER_NAMESPACE"
	EnvConfigMaps             = "KEDA_HTTP_CONFIG_MAPS_ENABLED"
	EnvConfigMapNamespaces    = "KEDA_HTTP_CONFIG_MAP_NAMESPACES"
)

// Settings are what holds for all routes.
type Settings struct {
	Limits     Limits
	ConfigMaps ConfigMaps
}

// Limits bound the matches of routes: hosts, paths, methods, headers and networks. The zero Limits bound
// nothing.
type Limits struct {
	// PerObject is how many matches an object may have, those of static routes included.
	// Each costs memory in every interceptor.
	PerObject int
	// PerNamespace is how many matches all objects of a namespace may have, as
	// [routing.Weight] counts them.
	PerNamespace int
}

// ConfigMaps are those that responses may be taken from.
type ConfigMaps struct {
	// Off reports whether no ConfigMap is read.
	Off bool
	// Namespaces are those whose ConfigMaps are read; empty is all.
	Namespaces []string
}

// ReadSettings reads the variables.
func ReadSettings(r *environment.Reader) Settings {
	return Settings{
		Limits: Limits{
			PerObject:    r.Number(EnvMaxMatchesPerObject, "4096", "Most hosts, paths, headers and other matches of an object's rules, including static routes; further ones are ignored. 0 means no bound. Interceptor and operator must have the same value."),
			PerNamespace: r.Number(EnvMaxMatchesPerNamespace, "65536", "Most hosts, paths, headers and other matches of all objects of a namespace; over it the oldest objects are served. 0 means no bound. Interceptor and operator must have the same value."),
		},
		ConfigMaps: ConfigMaps{
			Off:        !r.Flag(EnvConfigMaps, "true", "Take responses from ConfigMaps; false needs no right to read any. Interceptor and operator must have the same value."),
			Namespaces: r.List(EnvConfigMapNamespaces, "Namespaces whose ConfigMaps may hold responses, no others need a right; empty means all. Interceptor and operator must have the same value."),
		},
	}
}

// Allow reports whether the ConfigMaps of a namespace are read.
func (c ConfigMaps) Allow(namespace string) bool {
	return !c.Off && (len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace))
}

// Watched returns the namespaces to watch by somebody who watches one, or all if that is
// empty. An empty namespace among them is all.
func (c ConfigMaps) Watched(namespace string) []string {
	switch {
	case c.Off || namespace != "" && !c.Allow(namespace):
		return nil
	case namespace != "" || len(c.Namespaces) == 0:
		return []string{namespace}
	}
	return slices.Compact(slices.Sorted(slices.Values(c.Namespaces)))
}

// orUnlimited returns a limit as a number to compare with.
func orUnlimited(limit int) int {
	if limit == 0 {
		return math.MaxInt
	}
	return limit
}

// Package routesync turns objects into the table that requests are matched against: Source →
// hold-off → resolve Services and ConfigMaps → compile → publish. It knows the API types and, in
// cluster.go only, a Kubernetes cache. It must not know requests.
package routesync

import (
	"context"

	"github.com/kedacore/http-add-on/pkg/kubesource"
)

// Source reports objects and their changes: those of a cluster, or of files.
type Source interface {
	// Run reports to the sink until ctx ends, and returns nil then. It returns an
	// error if it cannot go on.
	Run(ctx context.Context, sink Sink) error
}

// Sink takes what a source reports. Its methods never block, keep the object (the
// source must not change it afterwards) and are safe for concurrent use.
//
// Routes come as *unstructured.Unstructured, so that one that does not decode
// harms no other; Services and ConfigMaps come typed.
type Sink interface {
	// Set takes an object that is new or has changed.
	Set(obj kubesource.Object)
	// Delete takes an object that is gone.
	Delete(obj kubesource.Object)
	// Wake takes a route whose status.wake is new or has changed. It is called in addition to
	// Set, and without it if nothing else has changed. seen reports whether the source saw the
	// change; otherwise it may be an old one.
	Wake(obj kubesource.Object, seen bool)
	// Synced is called once, after everything that existed at the start has been
	// reported. Nothing is published before.
	Synced()
}

// The kinds that a Sink understands in addition to InterceptorRoute and HTTPScaledObject.
const (
	KindService   = "Service"
	KindConfigMap = "ConfigMap"
)

// ObjectRef names an object.
type ObjectRef struct {
	// Kind is one of those that a Sink understands.
	Kind string
	// Namespace and Name of the object.
	Namespace, Name string
}

// String is "Kind namespace/name".
func (r ObjectRef) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

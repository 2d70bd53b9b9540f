// Package app composes the operator: caches, controllers, probes and metrics, and
// the order in which they start. It must not know what the controllers do.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/controllers/httpscaledobject"
	"github.com/kedacore/http-add-on/operator/controllers/interceptorroute"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/operator/wake"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
	"github.com/kedacore/http-add-on/pkg/route"
)

const (
	// leaderElectionID is the name of the Lease.
	leaderElectionID = "http-add-on-operator.keda.sh"
	// recorderName is the reporting controller of events.
	recorderName = "keda-http-add-on"
	// namespaceFile holds the namespace of the pod that this runs in.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// App is an operator that is ready to run.
type App struct {
	manager manager.Manager
	servers *servers
	log     logr.Logger
	// kinds are those that it can do without.
	kinds []*availability.Kind
}

// New makes the operator of the cluster behind a rest.Config.
func New(ctx context.Context, cfg config.Config, cluster *rest.Config, log logr.Logger) (*App, error) {
	lifecycle.Warn(log, cfg.Warnings)
	namespace, err := ownNamespace(cfg.Namespace)
	if err != nil {
		return nil, err
	}
	if cfg.Flags.MetricsAuth && !cfg.Flags.MetricsSecure {
		log.Info("serving metrics without authentication, which needs TLS")
	}
	cluster = rest.CopyConfig(cluster)
	cluster.WarningHandlerWithContext = warnings{}
	m, err := ctrl.NewManager(cluster, managerOptions(cfg, namespace, log))
	if err != nil {
		return nil, fmt.Errorf("creating the manager: %w", err)
	}
	servers, err := newServers(cfg.Flags, cluster, m.GetHTTPClient(), log)
	if err != nil {
		return nil, err
	}
	kind := func(kind schema.GroupVersionKind, hint string) *availability.Kind {
		return availability.New(kind, m.GetAPIReader(), cfg.WatchNamespace, hint, log)
	}
	const role = "give the operator's role get, list and watch of it; until then no condition reports it"
	var (
		scaledObjects = kind(keda.ScaledObjectKind(), "install KEDA: without it nothing scales")
		services      = kind(corev1.SchemeGroupVersion.WithKind("Service"), role)
		configMaps    = kind(corev1.SchemeGroupVersion.WithKind("ConfigMap"), role)
		status        = &conditions.Writer{Status: m.GetClient().Status(), Recorder: m.GetEventRecorder(recorderName), Now: time.Now}
	)
	httpScaledObjects := &httpscaledobject.Reconciler{
		Client: m.GetClient(), Status: status, ScalerAddress: cfg.ScalerAddress(namespace),
		AllNamespaces: cfg.WatchNamespace == "", Live: m.GetAPIReader(), Namespace: namespace,
		KEDA: scaledObjects, Services: services, Limits: cfg.Routes.Limits,
	}
	interceptorRoutes := &interceptorroute.Reconciler{
		Client: m.GetClient(), Live: m.GetAPIReader(), Status: status,
		KEDA: scaledObjects, Services: services, ConfigMaps: configMaps, Settings: cfg.Routes,
	}
	if err := errors.Join(httpScaledObjects.Setup(ctx, m), interceptorRoutes.Setup(ctx, m)); err != nil {
		return nil, err
	}
	app := &App{manager: m, servers: servers, log: log, kinds: []*availability.Kind{scaledObjects, services, configMaps}}
	wakes := &wake.Reconciler{
		Client: m.GetClient(), Live: m.GetAPIReader(), KEDA: scaledObjects, Services: services, Now: time.Now,
		Recorder: m.GetEventRecorder(recorderName), Metrics: metrics.Registry,
	}
	if cfg.WakePhases {
		wakes.Pods = kind(corev1.SchemeGroupVersion.WithKind("Pod"), "give the operator's role list and watch of it, and list of events; until then it reports no phases of wakes")
		app.kinds = append(app.kinds, wakes.Pods)
	}
	objects, err := kubesource.New(cluster, kubesource.Options{})
	if err != nil {
		return nil, err
	}
	if err := wakes.Setup(m, objects, log); err != nil {
		return nil, err
	}
	for _, k := range app.kinds {
		if err := m.Add(k); err != nil {
			return nil, fmt.Errorf("adding a watch: %w", err)
		}
	}
	return app, nil
}

// Run runs the operator until ctx ends. It can be called once.
func (a *App) Run(ctx context.Context) error {
	for _, k := range a.kinds {
		k.Probe(ctx)
	}
	served, err := a.servers.listen()
	if err != nil {
		return err
	}
	parts := []func(context.Context) error{a.manager.Start}
	if certificates := a.servers.certificates; certificates != nil {
		parts = append(parts, func(ctx context.Context) error { certificates.Run(ctx, a.log); return nil })
	}
	err = lifecycle.Process{
		Parts: parts, Servers: served, Log: a.log,
		Ready:    func(context.Context) {},
		NotReady: func() {},
		Drain:    func() error { return nil },
		Close:    func(context.Context) error { return nil },
	}.Run(ctx)
	if err != nil {
		return fmt.Errorf("running the operator: %w", err)
	}
	return nil
}

func managerOptions(cfg config.Config, namespace string, log logr.Logger) ctrl.Options {
	options := ctrl.Options{
		Scheme: clientgoscheme.Scheme,
		Logger: log,
		Cache: cache.Options{
			DefaultTransform: trim,
			ByObject: map[client.Object]cache.ByObject{
				&corev1.ConfigMap{}: {Label: route.ResponseBodies()},
			},
		},
		// A process may make more than one operator: their controllers share names.
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
		// Our own kinds are unstructured, and they are read from the cache like others.
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // servers has them
		LeaderElection:                cfg.Flags.LeaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true, // nothing runs after Run
		LeaseDuration:                 &cfg.LeaderElection.LeaseDuration,
		RenewDeadline:                 &cfg.LeaderElection.RenewDeadline,
		RetryPeriod:                   &cfg.LeaderElection.RetryPeriod,
	}
	if cfg.WatchNamespace != "" {
		options.Cache.DefaultNamespaces = map[string]cache.Config{cfg.WatchNamespace: {}}
	}
	return options
}

// trim drops what the operator does not read before the cache keeps it.
func trim(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.ConfigMap: // which keys there are is all we ask the cache
		for key := range o.Data {
			o.Data[key] = ""
		}
		for key := range o.BinaryData {
			o.BinaryData[key] = nil
		}
		o.ManagedFields, o.Annotations = nil, nil
	case *corev1.Service:
		o.ManagedFields, o.Annotations, o.Status = nil, nil, corev1.ServiceStatus{}
	case *unstructured.Unstructured:
		if o.GroupVersionKind() == keda.ScaledObjectKind() {
			keda.TrimStatus(o) // the managed fields show who created it
		} else {
			o.SetManagedFields(nil)
		}
	}
	return object, nil
}

// ownNamespace returns the namespace that is configured, else that of the pod.
func ownNamespace(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	content, err := os.ReadFile(namespaceFile)
	if err != nil {
		return "", fmt.Errorf("finding the operator's namespace: %s is not set, and the process does not run in a pod: %w", config.EnvNamespace, err)
	}
	return strings.TrimSpace(string(content)), nil
}

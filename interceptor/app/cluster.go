package app

import (
	"fmt"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"k8s.io/klog/v2"
	kubeconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// NewOnCluster makes an interceptor that serves the cluster which the process
// runs in, or which its kubeconfig names.
func NewOnCluster(cfg config.Config, log logr.Logger) (*App, error) {
	ctrllog.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	otel.SetErrorHandler(telemetry.ErrorHandler(log.WithName("telemetry")))
	cluster, err := kubeconfig.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	store := endpoints.NewStore()
	source, err := routesync.NewClusterSource(cluster, routesync.ClusterOptions{
		Namespace:  cfg.WatchNamespace,
		ConfigMaps: cfg.Routes.ConfigMaps,
		Resync:     cfg.ResyncPeriod,
		Store:      store,
	})
	if err != nil {
		return nil, err
	}
	return New(cfg, Deps{Source: source, Store: store, Log: log})
}

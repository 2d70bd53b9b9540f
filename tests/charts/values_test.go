package charts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// frozen are the values of 0.16 with their defaults: people's values files are
// written against them. A path without a default is one whose default was unset.
const frozen = `
additionalLabels
crds.install true
images.tag
images.operator ghcr.io/kedacore/http-add-on-operator
images.interceptor ghcr.io/kedacore/http-add-on-interceptor
images.scaler ghcr.io/kedacore/http-add-on-scaler
logging.{operator,scaler,interceptor}.level info
logging.{operator,scaler,interceptor}.format console
logging.{operator,scaler,interceptor}.timeEncoding rfc3339
logging.{operator,scaler,interceptor}.stackTracesEnabled false
{operator,scaler,interceptor}.extraEnvs
{operator,scaler,interceptor}.imagePullSecrets
{operator,scaler,interceptor}.pullPolicy
{operator,scaler,interceptor}.resources
{operator,scaler,interceptor}.nodeSelector
{operator,scaler,interceptor}.tolerations
{operator,scaler,interceptor}.affinity
{operator,scaler,interceptor}.topologySpreadConstraints
{operator,scaler,interceptor}.podAnnotations
{operator,scaler,interceptor}.priorityClassName
operator.replicas 1
operator.watchNamespace
operator.port 8443
operator.metrics.secure true
operator.metrics.auth true
operator.metrics.certDir
scaler.replicas 3
scaler.service external-scaler
scaler.grpcPort 9090
scaler.pendingRequestsInterceptor 200
scaler.streamInterval 200
scaler.metrics.prometheus.enabled true
scaler.metrics.prometheus.port 2223
scaler.metrics.otlp.enabled false
scaler.tracing.enabled false
scaler.tracing.protocol console
interceptor.extraVolumeMounts
interceptor.extraVolumes
interceptor.admin.service interceptor-admin
interceptor.admin.port 9090
interceptor.admin.appProtocol
interceptor.proxy.service interceptor-proxy
interceptor.proxy.port 8080
interceptor.proxy.appProtocol
interceptor.replicas.min 3
interceptor.replicas.max 50
interceptor.replicas.waitTimeout
interceptor.scaledObject.pollingInterval 1
interceptor.shutdownDelay 5s
interceptor.drainTimeout 30s
interceptor.terminationGracePeriodSeconds 45
interceptor.requestTimeout
interceptor.responseHeaderTimeout
interceptor.readinessTimeout
interceptor.tcpConnectTimeout
interceptor.maxIdleConns 1000
interceptor.maxIdleConnsPerHost 200
interceptor.directPodRouting true
interceptor.coldStart.maxPendingRequests 0
interceptor.tls.enabled false
interceptor.tls.certPath /certs/tls.crt
interceptor.tls.keyPath /certs/tls.key
interceptor.tls.certSecret keda-tls-certs
interceptor.tls.port 8443
interceptor.tls.appProtocol
interceptor.tls.skipVerify false
interceptor.tls.minVersion
interceptor.tls.maxVersion
interceptor.tls.cipherSuites
interceptor.tls.curvePreferences
interceptor.tls.caDirs
interceptor.pdb.enabled true
interceptor.pdb.minAvailable 0
interceptor.pdb.maxUnavailable 1
rbac.aggregateToDefaultRoles false
securityContext
podSecurityContext
profiling.{operator,interceptor,scaler}.enabled false
profiling.operator.port 8085
profiling.interceptor.port 8086
profiling.scaler.port 8087
`

func TestValuesOf016(t *testing.T) {
	values := settings(t, chartValues)
	for entry := range strings.Lines(strings.TrimSpace(frozen)) {
		pattern, want, given := strings.Cut(strings.TrimSpace(entry), " ")
		for _, path := range spelledOut(pattern) {
			got, found := at(values, strings.Split(path, "."))
			switch {
			case !found:
				t.Errorf("there is no value %s", path)
			case given && fmt.Sprint(got) != want:
				t.Errorf("%s is %v by default, want %s", path, got, want)
			}
		}
	}
}

const (
	chartValues = root + "/charts/keda-add-ons-http/values.yaml"
	chartSchema = root + "/charts/keda-add-ons-http/values.schema.json"
)

// spelledOut returns the paths that a pattern with one choice stands for.
func spelledOut(pattern string) []string {
	before, rest, ok := strings.Cut(pattern, "{")
	if !ok {
		return []string{pattern}
	}
	choices, after, _ := strings.Cut(rest, "}")
	var paths []string
	for choice := range strings.SplitSeq(choices, ",") {
		paths = append(paths, before+choice+after)
	}
	return paths
}

func at(values map[string]any, path []string) (any, bool) {
	value, found := values[path[0]]
	if len(path) == 1 || !found {
		return value, found
	}
	section, _ := value.(map[string]any)
	return at(section, path[1:])
}

// The schema is generated from the comments of values.yaml: a value without one is
// missing in it, and in the README.
func TestValuesAreDescribed(t *testing.T) {
	var look func(path string, values, schema map[string]any)
	look = func(path string, values, schema map[string]any) {
		properties, open := schema["properties"].(map[string]any)
		if !open {
			return // its content belongs to the user
		}
		for key, value := range values {
			inner, found := properties[key].(map[string]any)
			if !found {
				t.Errorf("%s%s has no description: a comment that begins with `# -- `", path, key)
				continue
			}
			if section, ok := value.(map[string]any); ok {
				look(path+key+".", section, inner)
			}
		}
	}
	look("", settings(t, chartValues), settings(t, chartSchema))
}

// The schema finds impossible values, and accepts what it does not know.
func TestSchemaForbidsNoKeys(t *testing.T) {
	var closed []string
	var look func(path []string, schema map[string]any)
	look = func(path []string, schema map[string]any) {
		for _, word := range []string{"additionalProperties", "unevaluatedProperties", "propertyNames"} {
			// For an object whose keys all belong to the user, the schema describes the values.
			if _, set := schema[word]; set && (word != "additionalProperties" || schema[word] == false) {
				closed = append(closed, strings.Join(path, ".")+": "+word)
			}
		}
		for name, value := range schema {
			switch v := value.(type) {
			case map[string]any:
				look(append(slices.Clone(path), name), v)
			case []any:
				for _, item := range v {
					if inner, ok := item.(map[string]any); ok {
						look(append(slices.Clone(path), name), inner)
					}
				}
			}
		}
	}
	look(nil, settings(t, chartSchema))
	if len(closed) > 0 {
		t.Errorf("keys are forbidden: %v", closed)
	}
}

package route

import (
	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// OfTrigger returns the kind and the name of the route that a trigger of KEDA names. metadata
// looks up the trigger's metadata by key. The name is empty if it names none. An InterceptorRoute
// wins over an HTTPScaledObject.
func OfTrigger(metadata func(key string) string) (kind, name string) {
	for _, kind := range []string{api.KindInterceptorRoute, api.KindHTTPScaledObject} {
		if name := metadata(TriggerKey(kind)); name != "" {
			return kind, name
		}
	}
	return "", ""
}

// TriggerKey returns the key of trigger metadata that names a route of a kind.
func TriggerKey(kind string) string {
	if kind == api.KindInterceptorRoute {
		return api.TriggerInterceptorRoute
	}
	return api.TriggerHTTPScaledObject
}

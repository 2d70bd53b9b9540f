package route

import (
	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// Named holds something of each of the two objects that may have the same name.
type Named[T any] struct{ interceptorRoute, httpScaledObject *T }

// Set replaces the value for the object of a kind; nil means that the object does not exist or is
// not in effect.
func (n *Named[T]) Set(kind string, value *T) {
	if kind == api.KindHTTPScaledObject {
		n.httpScaledObject = value
	} else {
		n.interceptorRoute = value
	}
}

// InForce returns the value and the kind of the object that requests follow: an InterceptorRoute
// wins over the HTTPScaledObject of its name. Nil means that there is neither.
func (n *Named[T]) InForce() (kind string, value *T) {
	if n.interceptorRoute != nil {
		return api.KindInterceptorRoute, n.interceptorRoute
	}
	return api.KindHTTPScaledObject, n.httpScaledObject
}

// Superseded reports whether there is an HTTPScaledObject that the InterceptorRoute
// of its name wins over.
func (n *Named[T]) Superseded() bool { return n.interceptorRoute != nil && n.httpScaledObject != nil }

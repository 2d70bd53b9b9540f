package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SessionPersistenceType says how the requests of a session are recognized.
// +kubebuilder:validation:Enum=Cookie;Header
type SessionPersistenceType string

const (
	// SessionPersistenceCookie recognizes them by a cookie that the interceptor sets.
	SessionPersistenceCookie SessionPersistenceType = "Cookie"
	// SessionPersistenceHeader recognizes sessions by their id. The target issues it in a
	// response header, and clients send it back in the header of that name.
	SessionPersistenceHeader SessionPersistenceType = "Header"
)

// SessionCookie is the cookie of a session.
//
// +kubebuilder:validation:MinProperties=1
type SessionCookie struct {
	// Name of the cookie; by default keda-session- and 8 hexadecimal digits that are the
	// route's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern="^[!#-'*+.^-z|~0-9A-Z-]+$"
	Name string `json:"name,omitempty"`
}

// SessionHeader is the header with the session id that the target issues.
type SessionHeader struct {
	// Name of the header, such as Mcp-Session-Id; case does not matter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern="^[!#-'*+.^-z|~0-9A-Z-]+$"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['connection', 'content-length', 'content-type', 'cookie', 'expect', 'host', 'keep-alive', 'set-cookie', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",message="must not be a header that HTTP itself needs"
	Name string `json:"name"`
}

// SessionPersistenceSpec keeps the requests of a session with the pod that answered the
// first one, for as long as that pod is ready.
//
// +kubebuilder:validation:XValidation:rule="!has(self.cookie) || self.type == 'Cookie'",message="'cookie' is for type Cookie alone"
// +kubebuilder:validation:XValidation:rule="has(self.header) == (self.type == 'Header')",message="'header' is required with type Header, and for it alone"
type SessionPersistenceSpec struct {
	// Type says how the requests of a session are recognized. With Cookie, a session whose
	// pod is gone goes on at another one. With Header, the target issues the session id, and
	// such a request is answered with 404, so that the client begins a new session.
	Type SessionPersistenceType `json:"type"`

	// AbsoluteTimeout ends a session that long after it began: whole seconds, at least 1s.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,5}([.][0-9]{1,4})?[hm]|[0-9]{1,9}([.][0-9]{1,3})?s|[0-9]{1,9}ms)+$') && duration(self) >= duration('1s') && duration(self).getMilliseconds() % 1000 == 0`,message="must be a duration of whole seconds, 1s or more, such as 12h"
	AbsoluteTimeout *metav1.Duration `json:"absoluteTimeout,omitempty"`

	// Cookie of type Cookie.
	// +optional
	Cookie *SessionCookie `json:"cookie,omitempty"`

	// Header of type Header.
	// +optional
	Header *SessionHeader `json:"header,omitempty"`

	// KeepAwake keeps the target awake for that long after each request of a session, before
	// KEDA's cooldown begins. Unset it is not.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(0|([0-9]{1,5}([.][0-9]+)?[hm]|[0-9]{1,9}([.][0-9]+)?(s|ms|us|µs|ns))+)$') && duration(self) > duration('0s')`,message="must be a duration above 0s, such as 30m"
	KeepAwake *metav1.Duration `json:"keepAwake,omitempty"`
}

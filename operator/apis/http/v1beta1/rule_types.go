package v1beta1

// HeaderMatchType is how a header is compared with values.
// +kubebuilder:validation:Enum=Exact;Prefix;Contains;Regex;Present;Absent
type HeaderMatchType string

const (
	// HeaderMatchExact compares the whole value.
	HeaderMatchExact HeaderMatchType = "Exact"
	// HeaderMatchPrefix compares the beginning.
	HeaderMatchPrefix HeaderMatchType = "Prefix"
	// HeaderMatchContains looks for a part, without the case of ASCII letters.
	HeaderMatchContains HeaderMatchType = "Contains"
	// HeaderMatchRegex looks for a regular expression (RE2), anywhere.
	HeaderMatchRegex HeaderMatchType = "Regex"
	// HeaderMatchPresent takes any value.
	HeaderMatchPresent HeaderMatchType = "Present"
	// HeaderMatchAbsent takes requests without the header.
	HeaderMatchAbsent HeaderMatchType = "Absent"
)

// HeaderMatch matches a request header.
type HeaderMatch struct {
	// Name of the header; case does not matter.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Type is how the header is compared: by default Exact with a value, Present
	// without. Contains ignores the case of ASCII letters. Contains and Regex look at
	// the first KiB of a header. A Regex (RE2, not anchored) has 128 bytes and 300
	// instructions at most, and an object 8 of them.
	// +optional
	Type HeaderMatchType `json:"type,omitempty"`

	// Value that the header must have. Without it and values any value matches.
	// +optional
	Value *string `json:"value,omitempty"`

	// Values of which the header must have one.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +listType=set
	Values []string `json:"values,omitempty"`
}

// UserAgents names a list of programs that the add-on knows by their User-Agent.
// +kubebuilder:validation:Enum=Crawlers;UptimeCheckers;LoadBalancerProbes
type UserAgents string

const (
	// UserAgentsCrawlers are robots of search engines, AI companies and link previews.
	UserAgentsCrawlers UserAgents = "Crawlers"
	// UserAgentsUptimeCheckers are services and programs that watch whether a site is up.
	UserAgentsUptimeCheckers UserAgents = "UptimeCheckers"
	// UserAgentsLoadBalancerProbes are health checks of load balancers and of Kubernetes.
	UserAgentsLoadBalancerProbes UserAgents = "LoadBalancerProbes"
)

// PathMatch matches the path of a request.
type PathMatch struct {
	// Value is a path prefix that matches by whole segments: "/api" matches
	// "/api" and "/api/x" but not "/apix".
	// +kubebuilder:validation:MinLength=1
	Value string `json:"value"`
}

// RoutingRule matches requests. A request matches if all fields that are set match. Of the hosts,
// the paths, the methods, the lists of User-Agents and the networks, one must match; of the
// headers, all must.
type RoutingRule struct {
	// Hosts are exact ("shop.example.com") or wildcards ("*.example.com", any
	// depth; "*", everything). Unicode and punycode are the same; a port is ignored.
	// +optional
	// +listType=set
	Hosts []string `json:"hosts,omitempty"`

	// Paths are prefixes of whole segments. Percent-encoding is compared decoded, and "*" is not
	// a wildcard.
	// +optional
	// +listType=atomic
	Paths []PathMatch `json:"paths,omitempty"`

	// Methods such as GET; GET does not include HEAD.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^[A-Z]+(-[A-Z]+)*$`
	// +listType=set
	Methods []string `json:"methods,omitempty"`

	// Headers must all match.
	// +optional
	// +listType=map
	// +listMapKey=name
	Headers []HeaderMatch `json:"headers,omitempty"`

	// UserAgents are lists of programs that the add-on knows by their User-Agent. Crawlers are
	// those of search engines, AI companies and link previews. UptimeCheckers watch the
	// availability of sites. LoadBalancerProbes are health checks of load balancers and
	// Kubernetes. A User-Agent is easily forged.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	// +listType=set
	UserAgents []UserAgents `json:"userAgents,omitempty"`

	// ClientCIDRs are networks of the client's address, such as 10.0.0.0/8. Behind a
	// proxy it is the proxy's address, unless KEDA_HTTP_TRUSTED_PROXIES names that.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	ClientCIDRs []string `json:"clientCIDRs,omitempty"`
}

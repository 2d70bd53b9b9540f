package objects

import (
	"fmt"
	"strings"
)

// interceptorRouteRules are the rules of v1beta1.
func interceptorRouteRules() []patches {
	var all []patches
	all = append(all, targetRules()...)
	all = append(all, scalingMetricRules()...)
	// The same type matches requests in both places.
	all = append(all, routingRules("spec.rules", "rules: [{%s}]")...)
	all = append(all, routingRules("spec.staticRoutes[0].rules", "staticRoutes: [{rules: [{%s}], response: {}}]")...)
	all = append(all, staticRouteRules()...)
	all = append(all, staticResponseRules("spec.staticRoutes[0].response", "staticRoutes: [{rules: [{}], response: {%s}}]")...)
	all = append(all, staticResponseRules("spec.coldStart.placeholder.response", "coldStart: {placeholder: {response: {%s}}}")...)
	all = append(all, coldStartRules()...)
	all = append(all, streamingCallbackRules()...)
	all = append(all, waitingPageRules()...)
	return append(all, sessionPersistenceRules()...)
}

func targetRules() []patches {
	const xor = "exactly one of 'port' or 'portName' must be set"
	return []patches{
		{"spec", "unknown field", "{}", "nonsense: 1", `unknown field "spec.nonsense"`},
		{"spec.target", "missing", "{}", "target: null", required},
		{"spec.target", "port and portName", "target: {port: null, portName: http}", "target: {portName: http}", xor},
		{"spec.target", "neither port nor portName", "target: {port: 8080}", "target: {port: null}", xor},
		{"spec.target.service", "missing", "{}", "target: {service: null}", required},
		{"spec.target.service", "empty", "target: {service: a}", `target: {service: ""}`, tooShort},
		{"spec.target.port", "zero", "target: {port: 1}", "target: {port: 0}", tooLow},
		{"spec.target.port", "above 65535", "target: {port: 65535}", "target: {port: 65536}", tooHigh},
		{"spec.target.port", "a name", "target: {port: 80}", "target: {port: http}", wrongType},
		{"spec.target.portName", "empty", "target: {port: null, portName: h}", `target: {port: null, portName: ""}`, tooShort},
	}
}

func scalingMetricRules() []patches {
	return []patches{
		{"spec.scalingMetric", "missing", "{}", "scalingMetric: null", required},
		{
			"spec.scalingMetric", "no metric", "scalingMetric: {requestRate: {targetValue: 1}}", "scalingMetric: {concurrency: null}",
			"at least one of 'concurrency' or 'requestRate' must be set",
		},
		{"spec.scalingMetric.concurrency.targetValue", "missing", "{}", "scalingMetric: {concurrency: {targetValue: null}}", required},
		{
			"spec.scalingMetric.concurrency.targetValue", "zero", "scalingMetric: {concurrency: {targetValue: 1}}",
			"scalingMetric: {concurrency: {targetValue: 0}}", tooLow,
		},
		{"spec.scalingMetric.requestRate.targetValue", "missing", "{}", "scalingMetric: {requestRate: {window: 1m}}", required},
		{
			"spec.scalingMetric.requestRate.targetValue", "zero", "scalingMetric: {requestRate: {targetValue: 1}}",
			"scalingMetric: {requestRate: {targetValue: 0}}", tooLow,
		},
	}
}

// routingRules are the rules of one RoutingRule, the first of the list at field.
func routingRules(list, place string) []patches {
	at := func(format string) string { return fmt.Sprintf(place, format) }
	field := list + "[0]"
	return []patches{
		{field + ".hosts[1]", "twice", at(`hosts: [a, "*"]`), at(`hosts: [a, a]`), duplicate},
		{field + ".paths[0].value", "missing", at("paths: [{value: /a}]"), at("paths: [{}]"), required},
		{field + ".paths[0].value", "empty", at("paths: [{value: /}]"), at(`paths: [{value: ""}]`), tooShort},
		{field + ".headers[0].name", "missing", at("headers: [{name: X-A}]"), at("headers: [{value: a}]"), required},
		{field + ".headers[0].name", "empty", at("headers: [{name: X, value: a}]"), at(`headers: [{name: ""}]`), tooShort},
		{
			field + ".headers[1]", "twice", at("headers: [{name: X-A, value: a}, {name: X-B, value: a}]"),
			at("headers: [{name: X-A, value: a}, {name: X-A, value: b}]"), duplicate,
		},
		{field + ".headers[0].type", "unknown", at("headers: [{name: X-A, type: Absent}]"), at("headers: [{name: X-A, type: Glob}]"), notOneOf},
		{field + ".headers[0].values[1]", "twice", at("headers: [{name: X-A, values: [a, b]}]"), at("headers: [{name: X-A, values: [a, a]}]"), duplicate},
		{field + ".headers[0].values[0]", "too long", at("headers: [{name: X-A, values: [" + text(256) + "]}]"), at("headers: [{name: X-A, values: [" + text(257) + "]}]"), tooLong},
		{
			field + ".methods[0]", "too long", at("methods: [" + strings.Repeat("A", 32) + "]"),
			at("methods: [" + strings.Repeat("A", 33) + "]"), tooLong,
		},
		{field + ".userAgents[1]", "twice", at("userAgents: [Crawlers, UptimeCheckers]"), at("userAgents: [Crawlers, Crawlers]"), duplicate},
		{field + ".clientCIDRs[0]", "empty", at("clientCIDRs: [192.0.2.1]"), at(`clientCIDRs: [""]`), tooShort},
		{field + ".clientCIDRs[0]", "too long", at("clientCIDRs: [" + text(64) + "]"), at("clientCIDRs: [" + text(65) + "]"), tooLong},
		{field + ".methods[1]", "twice", at("methods: [GET, HEAD]"), at("methods: [GET, GET]"), duplicate},
		{field + ".methods[0]", "lower case", at("methods: [VERSION-CONTROL]"), at("methods: [get]"), noMatch},
		{field + ".userAgents[0]", "unknown", at("userAgents: [Crawlers, UptimeCheckers, LoadBalancerProbes]"), at("userAgents: [Robots]"), notOneOf},
		{field + ".clientCIDRs[1]", "twice", at("clientCIDRs: [10.0.0.0/8, '::/0']"), at("clientCIDRs: ['::/0', '::/0']"), duplicate},
	}
}

func staticRouteRules() []patches {
	return []patches{
		{"spec.staticRoutes[0].rules", "missing", "staticRoutes: [{rules: [{}], response: {}}]", "staticRoutes: [{response: {}, responseMode: Always}]", required},
		{"spec.staticRoutes[0].response", "missing", "staticRoutes: [{rules: [{}], response: {}}]", "staticRoutes: [{rules: [{}]}]", required},
		{"spec.coldStart.placeholder.response", "missing", "coldStart: {placeholder: {response: {}}}", "coldStart: {placeholder: {}}", required},
		{"spec.staticRoutes[0].rules", "empty", "staticRoutes: [{rules: [{}], response: {}}]", "staticRoutes: [{rules: [], response: {}}]", tooFew},
		{
			"spec.staticRoutes[0].responseMode", "unknown", "staticRoutes: [{rules: [{}], response: {}, responseMode: Always}]",
			"staticRoutes: [{rules: [{}], response: {}, responseMode: Sometimes}]", notOneOf,
		},
		{
			"spec.staticRoutes[0].name", "too long", "staticRoutes: [{name: " + strings.Repeat("a", 63) + ", rules: [{}], response: {}}]",
			"staticRoutes: [{name: " + strings.Repeat("a", 64) + ", rules: [{}], response: {}}]", tooLong,
		},
		{
			"spec.staticRoutes[0].name", "no label", "staticRoutes: [{name: load-balancers, rules: [{}], response: {}}]",
			"staticRoutes: [{name: a.b, rules: [{}], response: {}}]", noMatch,
		},
	}
}

// staticResponseRules are the rules of the StaticResponse at field.
func staticResponseRules(field, place string) []patches {
	at := func(format string) string { return fmt.Sprintf(place, format) }
	return []patches{
		{
			field, "two bodies", at("bodyFromConfigMap: {name: pages}"), at("body: a, bodyFromConfigMap: {name: pages}"),
			"at most one of 'body' or 'bodyFromConfigMap' may be set",
		},
		{field + ".statusCode", "below 100", at("statusCode: 100"), at("statusCode: 99"), tooLow},
		{field + ".statusCode", "above 599", at("statusCode: 599"), at("statusCode: 600"), tooHigh},
		{field + ".body", "too long", at("body: " + text(32768)), at("body: " + text(32769)), tooLong},
		{field + ".bodyFromConfigMap.name", "missing", at("bodyFromConfigMap: {name: a, key: b}"), at("bodyFromConfigMap: {key: b}"), required},
		{field + ".bodyFromConfigMap.name", "empty", at("bodyFromConfigMap: {name: a}"), at(`bodyFromConfigMap: {name: ""}`), tooShort},
	}
}

func coldStartRules() []patches {
	const (
		empty = "at least one of 'fallback', 'placeholder', 'streamingCallback', 'waitingPage', 'maxPendingRequests', 'activationLease', 'releaseConcurrency', 'onFailure', 'warmUp' or 'wakes' must be set"
		xor   = "exactly one of 'port' or 'portName' must be set"
	)
	all := []patches{
		{"spec.coldStart", "empty", "coldStart: {placeholder: {response: {}}}", "coldStart: {}", empty},
		{"spec.coldStart", "a release concurrency alone", "coldStart: {releaseConcurrency: 1}", "coldStart: {}", empty},
		{"spec.coldStart", "a policy alone", "coldStart: {onFailure: Wait}", "coldStart: {}", empty},
		{"spec.coldStart", "a warm-up alone", "coldStart: {warmUp: [{cron: 0 8 * * *, for: 1h}]}", "coldStart: {}", empty},
		{"spec.coldStart", "what it wakes alone", "coldStart: {wakes: [a]}", "coldStart: {}", empty},
		{"spec.coldStart.onFailure", "unknown", "coldStart: {onFailure: Fail}", "coldStart: {onFailure: Reject}", notOneOf},
		{
			"spec.coldStart", "a time of failure without its policy", "coldStart: {onFailure: Fail, failAfter: 2m}",
			"coldStart: {onFailure: Wait, failAfter: 2m}", "'failAfter' needs 'onFailure' Fail",
		},
		{
			"spec.coldStart", "a time of failure without a policy", "coldStart: {onFailure: Fail, failAfter: 2m}",
			"coldStart: {maxPendingRequests: 1, failAfter: 2m}", "'failAfter' needs 'onFailure' Fail",
		},
		{"spec.coldStart.releaseConcurrency", "0", "coldStart: {releaseConcurrency: 1}", "coldStart: {releaseConcurrency: 0}", tooLow},
		{"spec.coldStart", "overflow alone", "coldStart: {maxPendingRequests: 1, overflow: Reject}", "coldStart: {overflow: Reject}", empty},
		{
			"spec.coldStart", "overflow without its placeholder", "coldStart: {maxPendingRequests: 1, overflow: Placeholder, placeholder: {response: {}}}",
			"coldStart: {maxPendingRequests: 1, overflow: Placeholder}", "'overflow' Placeholder needs 'placeholder' to be set",
		},
		{
			"spec.coldStart.overflow", "unknown", "coldStart: {maxPendingRequests: 1, overflow: Reject}",
			"coldStart: {maxPendingRequests: 1, overflow: Wait}", notOneOf,
		},
		{"spec.coldStart.maxPendingRequests", "zero", "coldStart: {maxPendingRequests: 1}", "coldStart: {maxPendingRequests: 0}", tooLow},
		{"spec.coldStart.fallback.service", "missing", "coldStart: {fallback: {service: {name: a, port: 80}}}", "coldStart: {fallback: {}}", required},
		{
			"spec.coldStart.fallback.service", "port and portName", "coldStart: {fallback: {service: {name: a, portName: http}}}",
			"coldStart: {fallback: {service: {name: a, port: 80, portName: http}}}", xor,
		},
		{
			"spec.coldStart.fallback.service", "neither port nor portName", "coldStart: {fallback: {service: {name: a, port: 80}}}",
			"coldStart: {fallback: {service: {name: a}}}", xor,
		},
		{
			"spec.coldStart.fallback.service.name", "missing", "coldStart: {fallback: {service: {name: a, port: 80}}}",
			"coldStart: {fallback: {service: {port: 80}}}", required,
		},
		{
			"spec.coldStart.fallback.service.name", "empty", "coldStart: {fallback: {service: {name: a, port: 80}}}",
			`coldStart: {fallback: {service: {name: "", port: 80}}}`, tooShort,
		},
		{
			"spec.coldStart.fallback.service.port", "zero", "coldStart: {fallback: {service: {name: a, port: 1}}}",
			"coldStart: {fallback: {service: {name: a, port: 0}}}", tooLow,
		},
		{
			"spec.coldStart.fallback.service.port", "above 65535", "coldStart: {fallback: {service: {name: a, port: 65535}}}",
			"coldStart: {fallback: {service: {name: a, port: 65536}}}", tooHigh,
		},
		{
			"spec.coldStart.fallback.service.portName", "empty", "coldStart: {fallback: {service: {name: a, portName: h}}}",
			`coldStart: {fallback: {service: {name: a, portName: ""}}}`, tooShort,
		},
	}
	all = append(all, durationRules("spec.coldStart.failAfter", "coldStart: {onFailure: Fail, failAfter: %q}",
		"must be a duration above 0s, such as 2m", "1ns", "0s", "0")...)
	all = append(all, demandRules()...)
	return append(all, durationRules("spec.coldStart.activationLease", "coldStart: {activationLease: %q}",
		"must be a duration above 0s, such as 10m", "1ns", "0s", "0")...)
}

func demandRules() []patches {
	const (
		field  = "spec.coldStart.warmUp[0]"
		length = "must be a duration from 1m to 24h, such as 2h"
		many   = "must have at most"
	)
	at := func(format string) string { return fmt.Sprintf("coldStart: {warmUp: [{%s}]}", format) }
	names := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("a%d", i)
		}
		return fmt.Sprintf("coldStart: {wakes: [%s]}", strings.Join(all, ", "))
	}
	all := []patches{
		{"spec.coldStart.warmUp", "empty", at("cron: 0 8 * * *, for: 1h"), "coldStart: {warmUp: []}", tooFew},
		{
			"spec.coldStart.warmUp", "more than 8", "coldStart: {warmUp: [" + strings.Repeat("{cron: 0 8 * * *, for: 1h}, ", 8) + "]}",
			"coldStart: {warmUp: [" + strings.Repeat("{cron: 0 8 * * *, for: 1h}, ", 9) + "]}", many,
		},
		{field + ".cron", "missing", at("cron: 0 8 * * *, for: 1h"), at("for: 1h"), required},
		{field + ".cron", "four fields", at("cron: '0,30 8-18/2 * JAN-MAR MON-FRI', for: 1h"), at("cron: 0 8 * *, for: 1h"), noMatch},
		{field + ".cron", "a time zone", at("cron: '@daily', for: 1h"), at("cron: TZ=UTC 0 8 * * *, for: 1h"), noMatch},
		{field + ".cron", "times that count from a start", at("cron: '@hourly', for: 1h"), at("cron: '@every 1h', for: 1h"), noMatch},
		{
			field + ".cron", "101 characters", at("cron: '" + strings.Repeat("1", 92) + " 8 * * *', for: 1h"),
			at("cron: '" + strings.Repeat("1", 93) + " 8 * * *', for: 1h"), tooLong,
		},
		{field + ".timeZone", "empty", at("cron: 0 8 * * *, for: 1h, timeZone: Europe/Berlin"), at(`cron: 0 8 * * *, for: 1h, timeZone: ""`), tooShort},
		{field + ".timeZone", "65 characters", at("cron: 0 8 * * *, for: 1h, timeZone: " + text(64)), at("cron: 0 8 * * *, for: 1h, timeZone: " + text(65)), tooLong},
		{field + ".for", "missing", at("cron: 0 8 * * *, for: 24h"), at("cron: 0 8 * * *"), required},
		{field + ".for", "33 characters", at("cron: 0 8 * * *, for: 1h30m1.5s1.000s1.000s1.000s1.00s"), at("cron: 0 8 * * *, for: 1h30m1.50s1.000s1.000s1.000s1.00s"), tooLong},
		{field + ".for", "shorter than a minute", at("cron: 0 8 * * *, for: 1m"), at("cron: 0 8 * * *, for: 59s"), length},
		{field + ".for", "longer than a day", at("cron: 0 8 * * *, for: 23h60m"), at("cron: 0 8 * * *, for: 24h1s"), length},
		{"spec.coldStart.wakes", "empty", names(1), "coldStart: {wakes: []}", tooFew},
		{"spec.coldStart.wakes", "more than 16", names(16), names(17), many},
		{"spec.coldStart.wakes[1]", "one twice", names(2), "coldStart: {wakes: [a, a]}", duplicate},
		{"spec.coldStart.wakes[0]", "no name", names(1), `coldStart: {wakes: [""]}`, tooShort},
		{"spec.coldStart.wakes[0]", "254 characters", "coldStart: {wakes: [" + text(253) + "]}", "coldStart: {wakes: [" + text(254) + "]}", tooLong},
	}
	return all
}

func streamingCallbackRules() []patches {
	const field = "spec.coldStart.streamingCallback"
	at := func(format string) string {
		return fmt.Sprintf("coldStart: {streamingCallback: {%s}}", format)
	}
	all := []patches{
		{field, "no message", at("message: a"), at("interval: 5s"), "'message' is required unless 'display' is None"},
		{field, "no message to reason with", at("display: None"), at("display: Reasoning"), "'message' is required unless 'display' is None"},
		{field + ".message", "empty", at("message: a"), at(`message: ""`), tooShort},
		{field + ".message", "too long", at("message: " + text(1024)), at("message: " + text(1025)), tooLong},
		{field + ".keepaliveMessage", "too long", at("message: a, keepaliveMessage: " + text(1024)), at("message: a, keepaliveMessage: " + text(1025)), tooLong},
		{field + ".separator", "too long", at("message: a, separator: " + text(256)), at("message: a, separator: " + text(257)), tooLong},
		{field + ".display", "unknown", at("message: a, display: Reasoning"), at("message: a, display: Hidden"), notOneOf},
	}
	all = append(all, durationRules(field+".interval", at("message: a, interval: %q"),
		"must be a duration of 100ms or more, such as 5s", "100ms", "99ms", "0s")...)
	return append(all, durationRules(field+".initialDelay", at("message: a, initialDelay: %q"),
		"must be a duration of 0s or more, such as 500ms", "0", "-1ns")...)
}

func waitingPageRules() []patches {
	const (
		field  = "spec.coldStart.waitingPage"
		status = "must be a status that a browser shows a page for: 200 to 599 but 204, 205 and 3xx"
	)
	at := func(format string) string {
		return fmt.Sprintf("coldStart: {waitingPage: {%s}}", format)
	}
	all := []patches{
		{field + ".message", "too long", at("message: " + text(1024)), at("message: " + text(1025)), tooLong},
		{field + ".title", "too long", at("title: " + text(128)), at("title: " + text(129)), tooLong},
		{field + ".bodyFromConfigMap.name", "missing", at("bodyFromConfigMap: {name: a}"), at("bodyFromConfigMap: {key: a}"), required},
		{field + ".bodyFromConfigMap.name", "empty", at("bodyFromConfigMap: {name: a}"), at(`bodyFromConfigMap: {name: ""}`), tooShort},
		{field + ".delivery", "unknown", at("delivery: Refresh"), at("delivery: Poll"), notOneOf},
		{field + ".delivery", "lower case", at("delivery: Live"), at("delivery: live"), notOneOf},
		{field + ".crossSite", "unknown", at("crossSite: Hold"), at("crossSite: Wait"), notOneOf},
		{field + ".crossSite", "empty", at("crossSite: Page"), at(`crossSite: ""`), notOneOf},
		{field + ".statusCode", "below 200", at("statusCode: 200"), at("statusCode: 199"), status},
		{field + ".statusCode", "has no body", at("statusCode: 202"), at("statusCode: 204"), status},
		{field + ".statusCode", "resets the form", at("statusCode: 206"), at("statusCode: 205"), status},
		{field + ".statusCode", "redirects", at("statusCode: 299"), at("statusCode: 300"), status},
		{field + ".statusCode", "is not modified", at("statusCode: 400"), at("statusCode: 399"), status},
		{field + ".statusCode", "above 599", at("statusCode: 599"), at("statusCode: 600"), status},
	}
	return append(all, durationRules(field+".refreshInterval", at("refreshInterval: %q"),
		"must be a duration of 1s or more, such as 5s", "1s", "999ms", "0s")...)
}

func sessionPersistenceRules() []patches {
	const (
		field   = "spec.sessionPersistence"
		header  = "'header' is required with type Header, and for it alone"
		seconds = "must be a duration of whole seconds, 1s or more, such as 12h"
	)
	at := func(format string) string {
		return fmt.Sprintf("sessionPersistence: {%s}", format)
	}
	name := func(length int) string { return strings.Repeat("n", length) }
	all := []patches{
		{field + ".type", "missing", at("type: Cookie"), at("keepAwake: 1h"), required},
		{field + ".type", "unknown", at("type: Cookie"), at("type: Address"), notOneOf},
		{field, "a cookie with type Header", at("type: Cookie, cookie: {name: s}"), at("type: Header, header: {name: S}, cookie: {name: s}"), "'cookie' is for type Cookie alone"},
		{field, "a header with type Cookie", at("type: Header, header: {name: S}"), at("type: Cookie, header: {name: S}"), header},
		{field, "no header with type Header", at("type: Header, header: {name: Mcp-Session-Id}"), at("type: Header"), header},
		{field + ".cookie", "empty", at("type: Cookie, cookie: {name: s}"), at("type: Cookie, cookie: {}"), "should have at least 1 properties"},
		{field + ".cookie.name", "empty", at("type: Cookie, cookie: {name: s}"), at(`type: Cookie, cookie: {name: ""}`), tooShort},
		{field + ".cookie.name", "too long", at("type: Cookie, cookie: {name: " + name(256) + "}"), at("type: Cookie, cookie: {name: " + name(257) + "}"), tooLong},
		{field + ".cookie.name", "no token", at("type: Cookie, cookie: {name: \"!#$%&'*+.^_`|~0-9A-Za-z\"}"), at("type: Cookie, cookie: {name: a=b}"), noMatch},
		{field + ".cookie.name", "a space", at("type: Cookie, cookie: {name: ab}"), at("type: Cookie, cookie: {name: a b}"), noMatch},
		{field + ".cookie.name", "not ASCII", at("type: Cookie, cookie: {name: e}"), at("type: Cookie, cookie: {name: é}"), noMatch},
		{field + ".header.name", "missing", at("type: Header, header: {name: S}"), at("type: Header, header: {}"), required},
		{field + ".header.name", "empty", at("type: Header, header: {name: S}"), at(`type: Header, header: {name: ""}`), tooShort},
		{field + ".header.name", "too long", at("type: Header, header: {name: " + name(256) + "}"), at("type: Header, header: {name: " + name(257) + "}"), tooLong},
		{field + ".header.name", "no token", at("type: Header, header: {name: X-A}"), at(`type: Header, header: {name: "X:A"}`), noMatch},
		{field + ".absoluteTimeout", "33 characters", at("type: Cookie, absoluteTimeout: 1h"), at("type: Cookie, absoluteTimeout: 1.0000000000000000000000000000000s"), tooLong},
	}
	for _, reserved := range []string{"Content-Length", "transfer-encoding", "Set-Cookie", "HOST"} {
		all = append(all, patches{field + ".header.name", "is " + reserved, at("type: Header, header: {name: X-A}"), at("type: Header, header: {name: " + reserved + "}"), "must not be a header that HTTP itself needs"})
	}
	for _, value := range []string{"0s", "999ms", "1500ms", "1.5s", "1s1ns", "1.0000001s", "0.0001h", "1ns", "-1s", "soon", "5"} {
		all = append(all, patches{field + ".absoluteTimeout", "is " + value, at("type: Cookie, absoluteTimeout: 1.5m"), at("type: Cookie, absoluteTimeout: " + fmt.Sprintf("%q", value)), seconds})
	}
	return append(all, durationRules(field+".keepAwake", at("type: Cookie, keepAwake: %q"),
		"must be a duration above 0s, such as 30m", "1ns", "0s", "0")...)
}

// durationRules are the rules of a duration field of our types. Values out of bounds and values
// that are not a duration get the same message, and none gets a type conversion error. The
// longest durations that fit must not overflow either.
func durationRules(field, place, message, least string, tooSmall ...string) []patches {
	at := func(value string) string { return fmt.Sprintf(place, value) }
	all := []patches{{field, "33 characters", at("1h30m1.5s1.000000000000000000ms"), at("1.0000000000000000000000000000000s"), tooLong}}
	for _, value := range append(tooSmall, "-5s", "5", "soon", "5 s", "", "1d", "999999h", "1e3s", ".s", "5S") {
		all = append(all, patches{field, "is " + value, at(least), at(value), message})
	}
	for _, value := range []string{"99999h99999h99999h99999h99999h9s", "999999999s999999999s999999999s1s", "1µs1us1ns1ms1s1m1h1000s"} {
		all = append(all, patches{field, "not long: " + value, at(value), at("never"), message})
	}
	return all
}

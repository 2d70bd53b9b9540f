package objects

// httpScaledObjectRules are the rules of v1alpha1.
func httpScaledObjectRules() []patches {
	const xor = "must define either the 'portName' or the 'port'"
	failover := func(more string) string { return "coldStartTimeoutFailoverRef: {service: a, " + more + "}" }
	callback := func(more string) string { return "coldStartStreamingCallback: {message: a, " + more + "}" }
	return []patches{
		{"spec", "unknown field", "{}", "nonsense: 1", `unknown field "spec.nonsense"`},
		{"spec.scaleTargetRef", "missing", "{}", "scaleTargetRef: null", required},
		{"spec.scaleTargetRef", "port and portName", "scaleTargetRef: {port: null, portName: http}", "scaleTargetRef: {portName: http}", xor},
		{"spec.scaleTargetRef.service", "missing", "scaleTargetRef: {port: null}", "scaleTargetRef: {service: null}", required},
		{"spec.headers[0].name", "missing", "headers: [{name: X-A}]", "headers: [{value: a}]", required},
		{"spec.headers[0].name", "empty", "headers: [{name: X-A}]", `headers: [{name: ""}]`, tooShort},
		{"spec.headers[1]", "twice", "headers: [{name: X-A}, {name: X-B}]", "headers: [{name: X-A}, {name: X-A, value: b}]", duplicate},
		{"spec.coldStartTimeoutFailoverRef", "port and portName", failover("port: 80"), failover("port: 80, portName: http"), xor},
		{"spec.coldStartTimeoutFailoverRef", "neither port nor portName", failover("portName: http"), failover("timeoutSeconds: 1"), xor},
		{
			"spec.coldStartTimeoutFailoverRef.service", "missing", failover("port: 80"),
			"coldStartTimeoutFailoverRef: {port: 80}", required,
		},
		{
			"spec.coldStartStreamingCallback.message", "missing", "coldStartStreamingCallback: {message: a}",
			"coldStartStreamingCallback: {intervalSeconds: 1}", required,
		},
		{
			"spec.coldStartStreamingCallback.message", "empty", "coldStartStreamingCallback: {message: a}",
			`coldStartStreamingCallback: {message: ""}`, tooShort,
		},
		{
			"spec.coldStartStreamingCallback.message", "too long", "coldStartStreamingCallback: {message: " + text(1024) + "}",
			"coldStartStreamingCallback: {message: " + text(1025) + "}", tooLong,
		},
		{"spec.coldStartStreamingCallback.intervalSeconds", "zero", callback("intervalSeconds: 1"), callback("intervalSeconds: 0"), tooLow},
		{
			"spec.coldStartStreamingCallback.keepaliveMessage", "too long",
			callback("keepaliveMessage: " + text(1024)), callback("keepaliveMessage: " + text(1025)), tooLong,
		},
		{"spec.coldStartMessage", "too long", "coldStartMessage: " + text(1024), "coldStartMessage: " + text(1025), tooLong},
		{"spec.coldStartMessage", "a number", `coldStartMessage: ""`, "coldStartMessage: 1", wrongType},
	}
}

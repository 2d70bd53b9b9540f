package main

import (
	"bytes"
	"fmt"

	interceptor "github.com/kedacore/http-add-on/interceptor/config"
	operator "github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/environment"
	scaler "github.com/kedacore/http-add-on/scaler/config"
)

// environmentPage lists the variables of each component.
func environmentPage() []byte {
	b := newPage("Environment")
	fmt.Fprint(b, `
A variable with an empty value counts as unset. If any value is invalid, the program reports all errors at the start and
exits. It warns of a name that it does not read, but that begins with `+"`KEDA_HTTP_`"+` or is nearly that of a setting. The warning
has the closest name of a setting.

The chart has values for most of these variables, listed in each `+"`_env.tpl`"+` of its templates. The others go into
`+"`interceptor.extraEnvs`, `scaler.extraEnvs` and `operator.extraEnvs`"+`, for example `+"`KEDA_HTTP_LOG_REQUESTS: true`"+`.

`+"`standalone`"+` reads the interceptor's variables, with other defaults: see `+"`standalone --help`"+`.
`)
	for _, component := range []struct {
		title     string
		variables []environment.Variable
	}{
		{"Interceptor", interceptor.Variables()},
		{"Scaler", scaler.Variables()},
		{"Operator", operator.Variables()},
	} {
		variablesTable(b, component.title, component.variables)
	}
	return b.Bytes()
}

func variablesTable(b *bytes.Buffer, title string, variables []environment.Variable) {
	fmt.Fprintf(b, "\n## %s\n\n| Variable | Type | Default | |\n| --- | --- | --- | --- |\n", title)
	for _, v := range variables {
		value := ""
		switch {
		case v.DeprecatedNameOf != "":
		case v.Required:
			value = "required"
		case v.Default != "":
			value = "`" + v.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", v.Name, cell(v.Type), value, cell(v.Description))
	}
}

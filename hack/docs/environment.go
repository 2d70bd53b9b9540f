package main

import (
	"bytes"
	"fmt"

	interceptor "github.com/kedacore/http-add-on/interceptor/config"
	operator "github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/environment"
	scaler "github.com/kedacore/http-add-on/scaler/config"
)

// environmentPage lists the variables of each component, and notes them in known.
func environmentPage(known map[string]bool) []byte {
	b := generated("Environment")
	fmt.Fprint(b, `
A variable that is set to nothing counts as not set. What is wrong is said at the start, all at once, and the program
ends. In the chart most of them have a value of their own; the rest goes into `+"`extraEnvs`"+`.

`+"`standalone`"+` reads the interceptor's, with other defaults: `+"`standalone --help`"+`.
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
		for _, v := range component.variables {
			known[v.Name] = true
		}
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

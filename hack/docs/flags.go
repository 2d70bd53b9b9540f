package main

import (
	"bytes"
	"flag"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/operator/config"
)

// flagsPage lists the flags of the binaries.
func flagsPage() []byte {
	b := newPage("Flags")
	fmt.Fprint(b, "\n[Environment variables](environment.md) set everything else. `standalone --help` prints the flags of standalone.\n")
	logging := flag.NewFlagSet("", flag.ContinueOnError)
	new(zap.Options).BindFlags(logging)
	flagsTable(b, "Every binary", logging)
	operator := flag.NewFlagSet("", flag.ContinueOnError)
	new(config.Flags).Bind(operator)
	flagsTable(b, "Operator", operator)
	return b.Bytes()
}

func flagsTable(b *bytes.Buffer, title string, flags *flag.FlagSet) {
	fmt.Fprintf(b, "\n## %s\n\n| Flag | Default | |\n| --- | --- | --- |\n", title)
	flags.VisitAll(func(f *flag.Flag) {
		value := ""
		if f.DefValue != "" {
			value = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| `--%s` | %s | %s |\n", f.Name, value, cell(strings.Join(strings.Fields(f.Usage), " ")))
	})
}

package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"

	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/pkg/version"
)

const usage = `standalone serves InterceptorRoutes and HTTPScaledObjects on one machine, without a cluster.

  standalone -f PATH [-f PATH]...
  standalone --version

PATH is a manifest, or a folder of manifests (*.yaml, *.yml, *.json); changes are followed.
Understood are InterceptorRoute, HTTPScaledObject, ScaledObject, Deployment, Service and ConfigMap.

A Deployment runs as processes of this machine, one for each replica: command, args, env, workingDir,
ports, readinessProbe (httpGet or tcpSocket) of its first container; the image is ignored. A command
that has a slash is looked up from workingDir, and that from the folder where standalone was started;
one without in PATH. Each process has an address of its own and must listen on it: HOST, PORT (the
first containerPort) and POD_IP are in its environment. What a Deployment does not say is as in a
cluster: it runs all the time unless a ScaledObject or an HTTPScaledObject scales it.

Ports and everything else are set by the interceptor's environment variables, with other defaults:
  KEDA_HTTP_LISTEN_ADDRESS=127.0.0.1 where all ports are; 0.0.0.0 lets other machines in
  KEDA_HTTP_PROXY_PORT=8080          clients
  KEDA_HTTP_ADMIN_PORT=9090          /livez /readyz /queue
  OTEL_PROM_EXPORTER_ENABLED=false   /metrics on OTEL_PROM_EXPORTER_PORT=2223
  KEDA_HTTP_SHUTDOWN_DELAY=0s  KEDA_HTTP_DRAIN_TIMEOUT=5s

Flags:
`

// ParseFlags reads the command line. bind adds the flags of the log. What is wrong, the
// help or the version is written to output; after the latter two the error is flag.ErrHelp.
func ParseFlags(args []string, output io.Writer, bind func(*flag.FlagSet)) (Settings, error) {
	var s Settings
	flags := flag.NewFlagSet("standalone", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		_, _ = fmt.Fprint(output, usage)
		flags.PrintDefaults()
	}
	flags.Func("f", "manifest or folder of manifests; may be repeated (`PATH`)", func(path string) error {
		s.Paths = append(s.Paths, path)
		return nil
	})
	showVersion := flags.Bool("version", false, "print the version and end")
	bind(flags)
	if err := flags.Parse(args); err != nil {
		return Settings{}, err
	}
	if *showVersion {
		_, _ = fmt.Fprintf(output, "standalone %s %s/%s\n", version.Version(), runtime.GOOS, runtime.GOARCH)
		return Settings{}, flag.ErrHelp
	}
	err := errors.New("name a manifest or a folder with -f")
	if flags.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag: name each manifest with -f", flags.Arg(0))
	}
	if flags.NArg() > 0 || len(s.Paths) == 0 {
		_, _ = fmt.Fprintf(output, "standalone: %v\nTry 'standalone --help'.\n", err)
		return Settings{}, err
	}
	return s, nil
}

// LogOptions make a log for a terminal, unless flags ask for another: short
// times, no stack traces.
func LogOptions() zap.Options {
	return zap.Options{
		NewEncoder: func(options ...zap.EncoderConfigOption) zapcore.Encoder {
			c := uberzap.NewProductionEncoderConfig()
			c.EncodeLevel = zapcore.CapitalLevelEncoder
			c.ConsoleSeparator = "  "
			for _, option := range options {
				option(&c)
			}
			return zapcore.NewConsoleEncoder(c)
		},
		TimeEncoder:     zapcore.TimeEncoderOfLayout("15:04:05.000"),
		StacktraceLevel: zapcore.DPanicLevel,
	}
}

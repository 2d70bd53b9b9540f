package process

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"go.uber.org/goleak"
)

// The test binary is also the programs that the tests run.
func TestMain(m *testing.M) {
	programs := map[string]func(){
		"serve":    serve,
		"exit":     func() { os.Exit(3) },
		"stubborn": func() { signal.Ignore(syscall.SIGTERM); call("stubborn"); serve() },
		"family":   family,
		"call":     func() { call("child"); select {} },
		"node":     runNode,
	}
	if program := programs[os.Getenv("PROGRAM")]; program != nil {
		program()
		return
	}
	goleak.VerifyTestMain(m)
}

// serve answers on HOST:PORT with its environment, fails on /fail and exits on /exit.
func serve() {
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Join(os.Environ(), "\n"))
	})
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(0) })
	http.HandleFunc("/fail", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	})
	http.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	fmt.Println("serving")
	err := http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), nil)
	fmt.Println(err)
	os.Exit(1)
}

// call connects to the test, says who it is, and keeps the connection: when
// it ends, the process is gone.
func call(who string) {
	conn, err := net.Dial("tcp", os.Getenv("CALL"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, _ = conn.Write([]byte(who + "\n"))
	go func() { _, _ = io.Copy(io.Discard, conn) }()
}

// family is a process with a child.
func family() {
	call("parent")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "PROGRAM=call")
	if err := child.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	serve()
}

// runNode runs a whole node in a separate process.
func runNode() {
	n := NewNode(Options{Endpoints: make(endpoints, 100), Log: logr.Discard(), Output: os.Stdout})
	n.Apply([]*appsv1.Deployment{deploymentOf("family", map[string]string{"CALL": os.Getenv("CALL")})}, nil)
	n.Scale(types.NamespacedName{Namespace: "default", Name: "family"}, 1)
	call("node")
	select {}
}

// deploymentOf runs one of the programs.
func deploymentOf(program string, env map[string]string) *appsv1.Deployment {
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = "default", program
	d.Spec.Template.Labels = map[string]string{"app": program}
	container := corev1.Container{
		Command: []string{os.Args[0]},
		Ports:   []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}},
		Env:     []corev1.EnvVar{{Name: "PROGRAM", Value: program}},
	}
	for name, value := range env {
		container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: value})
	}
	d.Spec.Template.Spec.Containers = []corev1.Container{container}
	return d
}

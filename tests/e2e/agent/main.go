// Command agent is a pod on each node through which tests reach into a cluster. It needs the
// node's PIDs and root; tests connect to it by port-forward, or by the port of its Service.
//
//	CONNECT host:port                          a connection from inside the cluster
//	POST /containers/ID/signal?number=9        a signal to the first process of a container
//	GET  /containers/ID/proc/net/tcp6          a file of this process, below /proc/PID
//	PUT  /pods/UID/unplugged                   take the pod's cable out; DELETE puts it back
//	PUT  /pods/UID/blackhole?to=IP             lose what the pod sends there; DELETE ends it
//	POST /programs/kubelet/kill                kill -9 of a program of the node
//	POST /cut                                  kill -9 of all processes of the node except the first
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /containers/{id}/signal", answer(signal))
	mux.HandleFunc("GET /containers/{id}/proc/{file...}", readProc)
	mux.HandleFunc("PUT /pods/{uid}/unplugged", answer(func(r *http.Request) error { return plug(r.PathValue("uid"), false) }))
	mux.HandleFunc("DELETE /pods/{uid}/unplugged", answer(func(r *http.Request) error { return plug(r.PathValue("uid"), true) }))
	mux.HandleFunc("PUT /pods/{uid}/blackhole", answer(blackhole))
	mux.HandleFunc("DELETE /pods/{uid}/blackhole", answer(blackhole))
	mux.HandleFunc("POST /programs/{name}/kill", answer(killProgram))
	mux.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) {
		_ = syscall.Kill(-1, syscall.SIGKILL) // everything except the first process and this one
		os.Exit(1)
	})
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{
		Addr: ":8000", ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodConnect {
				connect(w, r)
				return
			}
			mux.ServeHTTP(w, r)
		}),
	}
	log.Fatal(server.ListenAndServe())
}

// connect passes on what either side sends. When one side ends or fails, so does the other.
func connect(w http.ResponseWriter, r *http.Request) {
	server, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = server.Close() }()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = client.Close() }()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var once sync.Once
	ended := make(chan struct{})
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		once.Do(func() { close(ended) })
	}
	go pass(server, buffered)
	go pass(client, server)
	<-ended
}

// answer has a failure of do answered with 404: mostly, what it is about has ended.
func answer(do func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := do(r); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	}
}

func signal(r *http.Request) error {
	number, err := strconv.Atoi(r.FormValue("number"))
	if err != nil {
		return err
	}
	pid, err := firstProcess(r.PathValue("id"))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.Signal(number))
}

func killProgram(r *http.Request) error {
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	for _, link := range programs {
		program, err := os.Readlink(link)
		if err != nil || filepath.Base(program) != r.PathValue("name") {
			continue // it has ended, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return errors.New("it does not run")
}

func readProc(w http.ResponseWriter, r *http.Request) {
	pid, err := firstProcess(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), filepath.Clean("/"+r.PathValue("file"))))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	_, _ = w.Write(content)
}

// firstProcess returns the process of a container that is number 1 inside.
func firstProcess(container string) (int, error) {
	return process(container, func(pid int) bool {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(status)) {
			if pids := strings.Fields(line); len(pids) > 2 && pids[0] == "NSpid:" {
				return pids[len(pids)-1] == "1"
			}
		}
		return false
	})
}

// process returns a process of a container or pod that is so. The names of its control groups have the
// ID. The driver for systemd writes _ for -.
func process(id string, so func(pid int) bool) (int, error) {
	if id == "" {
		return 0, errors.New("no ID")
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, folder := range folders {
		groups, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil || !strings.Contains(strings.ReplaceAll(string(groups), "_", "-"), id) {
			continue // it has ended, or is another's
		}
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil && so(pid) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no process of %s runs", id)
}

// Command agent is a pod on each node through which tests reach into a cluster. It needs the
// node's PIDs and root; tests connect to it by port-forward.
//
//	CONNECT host:port                          a connection from inside the cluster
//	POST /containers/ID/signal?number=9        a signal to the first process of a container
//	GET  /containers/ID/proc/net/tcp6          a file of this process, below /proc/PID
//	POST /kubelet/kill                         kill -9 of the node's kubelet
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
	mux.HandleFunc("POST /containers/{id}/signal", signal)
	mux.HandleFunc("GET /containers/{id}/proc/{file...}", readProc)
	mux.HandleFunc("POST /kubelet/kill", killKubelet)
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

func signal(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.FormValue("number"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pid, err := firstProcess(r.PathValue("id"))
	if err == nil {
		err = syscall.Kill(pid, syscall.Signal(number))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
	}
}

func killKubelet(w http.ResponseWriter, _ *http.Request) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, file := range names {
		name, err := os.ReadFile(file)
		if err != nil || string(name) != "kubelet\n" {
			continue // it has ended, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	http.Error(w, "no kubelet runs", http.StatusNotFound)
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

// firstProcess returns the process of a container that is number 1 inside. The names of its
// control groups have the container's ID, whatever the node's driver.
func firstProcess(container string) (int, error) {
	if container == "" {
		return 0, errors.New("no container named")
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, folder := range folders {
		groups, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil || !strings.Contains(string(groups), container) {
			continue // it has ended, or is another's
		}
		status, err := os.ReadFile(filepath.Join(folder, "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if pids := strings.Fields(line); len(pids) > 2 && pids[0] == "NSpid:" && pids[len(pids)-1] == "1" {
				return strconv.Atoi(filepath.Base(folder))
			}
		}
	}
	return 0, fmt.Errorf("no process of the container %s runs", container)
}

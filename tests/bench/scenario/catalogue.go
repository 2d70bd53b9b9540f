package scenario

import (
	"fmt"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/load"
)

// Connections that most scenarios have.
const (
	usualConnections = 50
	// Large bodies need few: more only wait.
	largeConnections = 8
)

// Named is work with a name.
type Named struct {
	Work
	// ID is short and stable; Title describes the request.
	ID, Title string
	// Connections that are open.
	Connections int
}

// The scenarios that goals are set for.
const (
	Warm       = "get-1k-50"
	Upload8K   = "post-8k"
	Upload1M   = "post-1m"
	Download1M = "get-1m"
	TLSIn      = "tls-in"
	H2COut     = "h2c-out"
	H2CIn      = "h2c-in"
	WebSocket  = "websocket"
	Events     = "sse"
)

// Catalogue returns every scenario of warm requests; each takes d after a warm-up.
func Catalogue(d time.Duration) []Named {
	var all []Named
	add := func(id, title string, connections int, port string, open func(address, host string) (load.Generator, error)) {
		all = append(all, Named{ID: id, Title: title, Connections: connections, Work: Work{
			Port: port, Open: open, Warmup: d / 4, Duration: d,
		}})
	}
	for _, connections := range []int{1, usualConnections, 500, 2000} {
		add(fmt.Sprintf("get-1k-%d", connections), "GET, 1 KiB", connections, contender.Fast, get1(1<<10, connections))
	}
	add("get-0", "GET, 0 B", usualConnections, contender.Fast, get1(0, usualConnections))
	add("get-64k", "GET, 64 KiB", usualConnections, contender.Fast, get1(64<<10, usualConnections))
	add(Download1M, "GET, 1 MiB", largeConnections, contender.Fast, get1(1<<20, largeConnections))
	add("get-10m", "GET, 10 MiB", largeConnections, contender.Fast, get1(10<<20, largeConnections))
	add(Upload8K, "POST, 8 KiB", usualConnections, contender.Fast, post1(8<<10, usualConnections))
	add(Upload1M, "POST, 1 MiB", largeConnections, contender.Fast, post1(1<<20, largeConnections))
	add("post-10m", "POST, 10 MiB", largeConnections, contender.Fast, post1(10<<20, largeConnections))
	add(TLSIn, "GET, 1 KiB, TLS 1.3 in and out", usualConnections, contender.TLS, func(address, host string) (load.Generator, error) {
		return load.NewTLS(address, getRequest(1<<10, host), usualConnections)
	})
	add(H2CIn, "GET, 1 KiB, h2c in", usualConnections, contender.H2CIn, func(address, host string) (load.Generator, error) {
		return load.NewH2C("http://"+address+"/b/1024", host, usualConnections)
	})
	add(H2COut, "GET, 1 KiB, h2c out", usualConnections, contender.H2COut, get1(1<<10, usualConnections))
	add(WebSocket, "WebSocket echo, 128 B", usualConnections, contender.HTTP, func(address, host string) (load.Generator, error) {
		return load.NewWebSocket(address, host, usualConnections)
	})
	add(Events, "event stream, an event each 100 ms", 1000, contender.HTTP, func(address, host string) (load.Generator, error) {
		return load.NewSSE(address, host, 1000)
	})
	return all
}

// Select returns the scenarios with the given ids.
func Select(all []Named, ids ...string) []Named {
	var selected []Named
	for _, id := range ids {
		for _, n := range all {
			if n.ID == id {
				selected = append(selected, n)
			}
		}
	}
	return selected
}

func getRequest(size int, host string) []byte {
	return fmt.Appendf(nil, "GET /b/%d HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", size, host)
}

func get1(size, connections int) func(address, host string) (load.Generator, error) {
	return func(address, host string) (load.Generator, error) {
		return load.NewHTTP1(address, getRequest(size, host), connections)
	}
}

func post1(size, connections int) func(address, host string) (load.Generator, error) {
	return func(address, host string) (load.Generator, error) {
		head := fmt.Appendf(nil, "POST /b/2 HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
			host, size)
		return load.NewHTTP1(address, append(head, make([]byte, size)...), connections)
	}
}

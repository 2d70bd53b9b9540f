package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/support/apiserver"
)

// TestMemoryIsAsDocumented measures each coefficient of the formula in docs/operations.md. None
// may be higher, nor so much lower that users buy memory without need.
func TestMemoryIsAsDocumented(t *testing.T) {
	const n, slack = 500, 4
	stream := apiserver.Route("stream", "stream.test", apiserver.Object{
		"coldStart": apiserver.Object{"streamingCallback": apiserver.Object{"message": "Loading."}},
	})
	serving := make(chan struct{}, n)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		serving <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	i := startInterceptor(t, apiserver.Service("cold", ""), apiserver.Endpoints("cold", 0), apiserver.Route("cold", "cold.test", nil),
		apiserver.Service("stream", ""), apiserver.Endpoints("stream", 0), stream,
		apiserver.Service("slow", ""), apiserver.Endpoints("slow", slow.Listener.Addr().(*net.TCPAddr).Port), apiserver.Route("slow", "slow.test", nil))
	i.awaitRoutes(3)
	documented := documentedMemory(t)
	before := i.live()
	check := func(what string, measured int64) {
		t.Helper()
		t.Logf("%s: %d B measured, %d documented", what, measured, documented[what])
		if measured > documented[what] || measured < documented[what]/slack {
			t.Errorf("%s takes %d B, docs/operations.md says %d", what, measured, documented[what])
		}
	}
	check("the process", before)

	for _, object := range clusterOf(n) {
		i.api.Set(object)
	}
	i.awaitRoutes(n + 3)
	routes := i.live()
	check("a route", (routes-before)/n)

	var clients []net.Conn
	for range n {
		clients = append(clients, i.connect())
		request(t, clients[len(clients)-1], "GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n", http.StatusNotFound)
	}
	idle := i.live()
	check("a connection", (idle-routes)/n)

	for _, c := range clients {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: cold.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	i.await("all requests to be held", func(counts queue.Counts) bool { return counts["apps/cold"].Concurrency == n })
	held := i.live()
	check("a held request", (held-idle)/n)

	for range n {
		const body = `{"model":"m","stream":true,"messages":[{"role":"user","content":"Hello"}]}`
		request(t, i.connect(), fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: stream.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			len(body), body), http.StatusOK)
	}
	streams := i.live()
	check("an open stream", (streams-held)/n-(idle-routes)/n)

	for range n {
		if _, err := io.WriteString(i.connect(), "GET / HTTP/1.1\r\nHost: slow.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		<-serving
	}
	check("a request in service", (i.live()-streams)/n-(idle-routes)/n)
}

// request sends a request and reads the head of its response.
func request(t *testing.T, c net.Conn, text string, status int) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != status {
		t.Fatalf("answer %+v, %v", response, err)
	}
}

// live is the memory that a collection does not free, in bytes: the heap, the stacks and
// what the runtime has beside them.
func (i *shipped) live() int64 {
	i.t.Helper()
	response, err := http.Get("http://" + i.profiles + "/debug/pprof/heap?debug=1&gc=1")
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	sum := int64(0)
	for _, name := range []string{"HeapAlloc", "Stack", "MSpan", "MCache", "GCSys", "OtherSys"} {
		found := regexp.MustCompile(`(?m)^# ` + name + ` = (\d+)`).FindSubmatch(text)
		if found == nil {
			i.t.Fatalf("the profile does not say %s", name)
		}
		value, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			i.t.Fatal(err)
		}
		sum += value
	}
	return sum
}

// documentedMemory reads the table of docs/operations.md: bytes by what takes them.
func documentedMemory(t *testing.T) map[string]int64 {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int64{}
	for _, row := range regexp.MustCompile(`(?m)^\| (the process|an? [a-z ]+), \w \| (\d+) (KiB|MiB) \|`).FindAllStringSubmatch(string(text), -1) {
		value, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		rows[row[1]] = value << map[string]int{"KiB": 10, "MiB": 20}[row[3]]
	}
	if len(rows) != 6 {
		t.Fatalf("the table of the formula has %d rows: %v", len(rows), rows)
	}
	return rows
}

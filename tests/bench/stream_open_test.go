package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// openStreams is how many cold streams the comparison keeps alive. It looks at
	// them some times, each for as long as watched: what else the machine does falls
	// on one of the two processes more than on the other, and the median tells.
	openStreams = 1000
	looks       = 5
	watched     = 4 * time.Second
)

// roleStreams is a bare handler that streams.
const roleStreams = "bare-stream"

// streamRequest asks for a stream; its keepalives are what the route of the
// interceptor says, and what the bare handler writes too.
const (
	streamBody    = `{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}`
	streamRequest = "POST /v1/chat/completions HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)

// streams is a process with open streams, and what they cost.
type streams struct {
	*process
	before int64 // memory
	bytes  atomic.Int64
	lines  chan string // the first events
}

// TestOpenStreamsCostLittleMoreThanANetHTTPHandler opens cold streams with an
// interval of a second beside as many of a bare handler that writes the same bytes,
// and compares what both cost at the same time.
func TestOpenStreamsCostLittleMoreThanANetHTTPHandler(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	bare, ours := start(t, roleStreams), start(t, "interceptor")
	var all []*streams
	for _, p := range []*process{bare, ours} {
		s := &streams{process: p, before: p.ask("/memory"), lines: make(chan string, openStreams)}
		s.open(ctx, t, &wg)
		p.wait("/held", openStreams)
		all = append(all, s)
	}
	for _, s := range all { // all have begun
		for range openStreams {
			if first := <-s.lines; !strings.Contains(first, "Waking") {
				t.Fatalf("a stream begins with %q", first)
			}
		}
	}
	var cpu, bytes, memory [2]int64
	var ratios []float64
	for range looks {
		var spent [2]int64
		for i, s := range all {
			spent[i] = -s.ask("/cpu")
			bytes[i] -= s.bytes.Load()
		}
		over := time.NewTimer(watched)
		<-over.C
		for i, s := range all {
			spent[i] += s.ask("/cpu")
			bytes[i] += s.bytes.Load()
			cpu[i] += spent[i]
		}
		ratios = append(ratios, ratio(spent))
	}
	slices.Sort(ratios)
	for i, s := range all {
		memory[i] = (s.ask("/memory") - s.before) / openStreams
	}
	core := func(ns int64) float64 { return 100 * float64(ns) / float64(looks*watched) }
	t.Logf("%d streams: bare %.1f %% of a core, %d B each; interceptor %.1f %%, %d B; ratios %.2f of CPU (%.2f) and %.2f of memory",
		openStreams, core(cpu[0]), memory[0], core(cpu[1]), memory[1], ratios[looks/2], ratios, ratio(memory))
	if r := ratio(bytes); r < 0.9 || r > 1.1 {
		t.Errorf("the two write different streams: %d and %d bytes", bytes[0], bytes[1])
	}
	if r := ratios[looks/2]; r > 1.25 {
		t.Errorf("an open stream costs %.2f times the CPU of a bare handler's", r)
	}
	if r := ratio(memory); r > 1.25 {
		t.Errorf("an open stream costs %.2f times the memory of a bare handler's", r)
	}
}

// ratio is how many times as much the second is as the first.
func ratio(of [2]int64) float64 { return float64(of[1]) / float64(of[0]) }

// open opens the streams and reads them until ctx ends.
func (s *streams) open(ctx context.Context, t *testing.T, wg *sync.WaitGroup) {
	t.Helper()
	for range openStreams {
		conn, err := net.Dial("tcp", s.Proxy)
		if err != nil {
			t.Fatal(err)
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, streamRequest, len(streamBody), streamBody); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			r := bufio.NewReaderSize(conn, 512)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					s.lines <- line
					return
				}
				if strings.HasPrefix(line, "data:") {
					s.lines <- line
					break
				}
			}
			buf := make([]byte, 512)
			for {
				n, err := r.Read(buf)
				s.bytes.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
}

// serveStreams is the bare handler: it reads the request, writes one event, and one
// more with each second.
func serveStreams(ctx context.Context, l net.Listener, mux *http.ServeMux) error {
	var open atomic.Int64
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, open.Load()) })
	mux.HandleFunc("/started", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, 1) })
	event := func(delta string) []byte {
		return fmt.Appendf(nil, `data: {"id":"","object":"chat.completion.chunk","created":%d,"model":"m","choices":[{"index":0,"delta":{%s},"finish_reason":null}]}`+"\n\n",
			time.Now().Unix(), delta)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		header := w.Header()
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-cache, no-transform")
		header.Set("X-Accel-Buffering", "no")
		control := http.NewResponseController(w)
		next := event(`"role":"assistant","content":"Waking"`)
		open.Add(1)
		defer open.Add(-1)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			if _, err := w.Write(next); err != nil || control.Flush() != nil {
				return
			}
			next = event(`"content":""`)
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	})}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

package scenario

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/role"
)

// streamBody asks for a stream of a chat completion.
const streamBody = `{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}`

var streamRequest = fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: app\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
	len(streamBody), streamBody)

// ColdStreams is what open cold streams cost beside those of a bare handler that
// writes the same bytes at the same time.
type ColdStreams struct {
	Streams int
	// Bare and Ours each.
	Bare, Ours ColdStream
	// Ratios of CPU, ours to bare, one of each look.
	Ratios []float64
}

// ColdStream is what one side costs.
type ColdStream struct {
	Core   float64 // share of a core for all streams
	Memory int64   // bytes of resident memory of each
	Bytes  int64   // that all clients received
}

// OpenColdStreams opens cold streams with an interval of a second in an interceptor and in a bare
// handler. It looks at both several times, each for as long as watched. Other work of the machine
// falls on one of the two processes more than on the other, so the median counts.
func OpenColdStreams(streams, looks int, watched time.Duration) (ColdStreams, error) {
	result := ColdStreams{Streams: streams}
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sides [2]*side
	for i, start := range []func() (*role.Server, error){
		func() (*role.Server, error) { return role.Start(role.Streams, nil) },
		func() (*role.Server, error) {
			return role.Start(role.Interceptor, role.InterceptorOptions{Services: []string{"app"}, ColdStart: role.StreamingCallback()})
		},
	} {
		p, err := start()
		if err != nil {
			return result, err
		}
		defer p.Stop()
		s := &side{Server: p, first: make(chan string, streams)}
		sides[i] = s
		if err := s.open(ctx, &reading, streams); err != nil {
			return result, err
		}
	}
	for _, s := range sides { // all have begun
		for range streams {
			if first := <-s.first; !strings.Contains(first, "Waking") {
				return result, fmt.Errorf("a stream begins with %q", first)
			}
		}
	}
	var spent [2]time.Duration
	for range looks {
		var cpu [2]time.Duration
		for sign := -1; sign <= 1; sign += 2 {
			for i, s := range sides {
				now, err := s.Ask("/cpu")
				if err != nil {
					return result, err
				}
				cpu[i] += time.Duration(sign) * time.Duration(now)
				s.counted += int64(sign) * s.bytes.Load()
			}
			if sign < 0 {
				over := time.NewTimer(watched)
				<-over.C
			}
		}
		result.Ratios = append(result.Ratios, float64(cpu[1])/float64(cpu[0]))
		spent[0] += cpu[0]
		spent[1] += cpu[1]
	}
	for i, into := range []*ColdStream{&result.Bare, &result.Ours} {
		memory, err := sides[i].Ask("/memory")
		if err != nil {
			return result, err
		}
		*into = ColdStream{
			Core:   spent[i].Seconds() / (time.Duration(looks) * watched).Seconds(),
			Memory: (memory - sides[i].before) / int64(streams), Bytes: sides[i].counted,
		}
	}
	return result, nil
}

// side is a process with open streams.
type side struct {
	*role.Server
	before  int64 // memory
	bytes   atomic.Int64
	counted int64
	first   chan string // the first event of each
}

// open opens streams and reads them until ctx ends.
func (s *side) open(ctx context.Context, reading *sync.WaitGroup, streams int) error {
	if err := s.Wait("/started", 1); err != nil {
		return err
	}
	var err error
	if s.before, err = s.Ask("/memory"); err != nil {
		return err
	}
	for range streams {
		conn, err := net.Dial("tcp", s.Proxy())
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		if _, err := conn.Write(streamRequest); err != nil {
			return err
		}
		reading.Go(func() { s.read(conn) })
	}
	return s.Wait("/held", int64(streams))
}

func (s *side) read(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 512)
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "data:") {
			s.first <- line
			if err != nil {
				return
			}
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
}

package httpserver

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// The kernel keeps little for a client that does not read.
func TestUnsentBytesAreBounded(t *testing.T) {
	const most = 1 << 20 // of both kernels' buffers; without the bound it is 2.5 MB at least
	var written atomic.Int64
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 16<<10); ; {
			n, err := w.Write(piece)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	conn, err := net.Dial("tcp", s.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	last, since := int64(0), time.Now()
	for last == 0 || time.Since(since) < time.Second { // as long as it takes until nothing more is taken
		if n := written.Load(); n != last {
			last, since = n, time.Now()
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%d bytes were taken", last)
	if last > most {
		t.Errorf("the kernel takes %d bytes for a client that does not read", last)
	}
}

package survival

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/kedacore/http-add-on/tests/support/frames"
)

// Floods of frames that cost the sender next to nothing. The client does not read what the server sends.
func TestFloodsOfFrames(t *testing.T) {
	const conns, most = 4, 20_000 // more take the CPU from everybody, this test included
	var get bytes.Buffer
	encoder := hpack.NewEncoder(&get)
	encoder.SetMaxDynamicTableSize(0) // each block is whole
	for _, field := range frames.Fields("GET", "cold.test", "/") {
		_ = encoder.WriteField(field) // a buffer takes it
	}
	head := func(stream uint32, end bool) http2.HeadersFrameParam {
		return http2.HeadersFrameParam{StreamID: stream, BlockFragment: get.Bytes(), EndStream: end, EndHeaders: true}
	}
	first := func(f *http2.Framer, i int, end bool) {
		if i == 0 {
			_ = f.WriteHeaders(head(1, end)) // the next frame fails too
		}
	}
	for _, flood := range []struct {
		reason string
		frame  func(f *http2.Framer, i int) error
	}{
		{"SETTINGS", func(f *http2.Framer, i int) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i % 1000)})
		}},
		{"PING", func(f *http2.Framer, _ int) error { return f.WritePing(false, [8]byte{}) }},
		{"rapid reset (CVE-2023-44487)", func(f *http2.Framer, i int) error {
			if i%2 == 0 {
				return f.WriteHeaders(head(uint32(i+1), true))
			}
			return f.WriteRSTStream(uint32(i), http2.ErrCodeCancel)
		}},
		{"requests that break the RFC, which the server resets", func(f *http2.Framer, i int) error {
			if i%2 == 0 {
				return f.WriteHeaders(head(uint32(i+1), true))
			}
			return f.WriteWindowUpdate(uint32(i), 1<<31-1)
		}},
		{"CONTINUATION", func(f *http2.Framer, i int) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: get.Bytes()})
			}
			return f.WriteContinuation(1, false, bytes.Repeat([]byte{0x8f}, 1000))
		}},
		{"empty CONTINUATION", func(f *http2.Framer, i int) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: get.Bytes()})
			}
			return f.WriteContinuation(1, false, nil)
		}},
		{"empty DATA", func(f *http2.Framer, i int) error {
			first(f, i, false)
			return f.WriteData(1, false, nil)
		}},
		{"WINDOW_UPDATE", func(f *http2.Framer, i int) error {
			first(f, i, true)
			return f.WriteWindowUpdate(1, 1)
		}},
		{"PRIORITY", func(f *http2.Framer, i int) error {
			return f.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: 0, Weight: uint8(i)})
		}},
		{"unknown frames", func(f *http2.Framer, _ int) error { return f.WriteRawFrame(0xbe, 0, 0, make([]byte, 1000)) }},
	} {
		t.Run(flood.reason, func(t *testing.T) {
			v := start(t, nil)
			end := time.Now().Add(2 * time.Second)
			var sending sync.WaitGroup
			for range conns {
				conn := v.dial()
				_ = conn.SetDeadline(end)
				sending.Go(func() {
					_, _ = io.WriteString(conn, http2.ClientPreface)
					f := http2.NewFramer(conn, conn)
					f.AllowIllegalWrites = true
					_ = f.WriteSettings()
					for i := 0; i < most && flood.frame(f, i) == nil; i++ {
					}
				})
			}
			sending.Wait()
			v.survived()
		})
	}
}

// A backend of HTTP/2 that floods its client.
func TestFloodsOfFramesByABackend(t *testing.T) {
	for _, flood := range []struct {
		reason string
		frame  func(f *http2.Framer, stream uint32) error
	}{
		{"SETTINGS", func(f *http2.Framer, _ uint32) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16})
		}},
		{"PING", func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) }},
		{"CONTINUATION", func(f *http2.Framer, stream uint32) error {
			return f.WriteContinuation(stream, false, bytes.Repeat([]byte{0x8f}, 1000))
		}},
		{"informational responses", func(f *http2.Framer, stream uint32) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte("\x48\x03103"), EndHeaders: true})
		}},
		{"empty DATA", func(f *http2.Framer, stream uint32) error { return f.WriteData(stream, false, nil) }},
	} {
		t.Run(flood.reason, func(t *testing.T) {
			address := connections(t, func(conn io.ReadWriter) {
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				f := http2.NewFramer(conn, conn)
				f.AllowIllegalWrites = true
				_ = f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					asked, ok := frame.(*http2.HeadersFrame)
					if !ok {
						continue
					}
					switch flood.reason {
					case "CONTINUATION":
						_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: asked.StreamID, BlockFragment: []byte{0x88}})
					case "empty DATA":
						_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: asked.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true})
					}
					for flood.frame(f, asked.StreamID) == nil {
					}
					return
				}
			})
			v := start(t, target("flood", "kubernetes.io/h2c", address, nil))
			client := http.Client{Timeout: 2 * time.Second}
			var asking sync.WaitGroup
			for range 10 {
				asking.Go(func() {
					r, _ := http.NewRequest(http.MethodGet, "http://"+v.proxy, nil)
					r.Host = "flood.test"
					if response, err := client.Do(r); err == nil {
						_, _ = io.Copy(io.Discard, response.Body)
						_ = response.Body.Close()
					}
				})
			}
			asking.Wait()
			v.survived()
		})
	}
}

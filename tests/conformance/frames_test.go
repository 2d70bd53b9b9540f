package conformance

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/kedacore/http-add-on/tests/support/frames"
)

// Frames that break RFC 9113 end their stream or their connection, with the code that it
// asks for. Others are served.
func TestFramesThatBreakTheRFC(t *testing.T) {
	const (
		whole     = http2.FlagHeadersEndStream | http2.FlagHeadersEndHeaders
		open      = http2.FlagHeadersEndHeaders
		served    = http2.ErrCode(1 << 30)
		data      = http2.FrameData
		headers   = http2.FrameHeaders
		reset     = http2.FrameRSTStream
		settings  = http2.FrameSettings
		ping      = http2.FramePing
		window    = http2.FrameWindowUpdate
		more      = http2.FrameContinuation
		protocol  = http2.ErrCodeProtocol
		flow      = http2.ErrCodeFlowControl
		size      = http2.ErrCodeFrameSize
		closed    = http2.ErrCodeStreamClosed
		compress  = http2.ErrCodeCompression
		largest   = 16 << 10
		windowMax = "\x7f\xff\xff\xff"
	)
	type frame struct {
		kind    http2.FrameType
		flags   http2.Flags
		stream  uint32
		payload string
	}
	get := string(frames.Block(":method", "GET", ":scheme", "http", ":authority", "app.test", ":path", "/"))
	post := string(frames.Block(":method", "POST", ":scheme", "http", ":authority", "app.test", ":path", "/"))
	cold := string(frames.Block(":method", "POST", ":scheme", "http", ":authority", "cold.test", ":path", "/"))
	w := newWorld(t, plainRoute+"---\n"+strings.ReplaceAll(plainRoute, "app", "cold"))
	w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "ok")
	}))
	for _, test := range []struct {
		reason string
		frames []frame
		want   http2.ErrCode // of GOAWAY or RST_STREAM; served: the answer is "ok"
	}{
		{"a request", []frame{{headers, whole, 1, get}}, served},
		{"4.1: an unknown kind is ignored", []frame{{0xbe, 0xff, 0, "x"}, {headers, whole, 1, get}}, served},
		{"6.5.2: an unknown setting is ignored", []frame{{settings, 0, 0, "\x00\xff\x00\x00\x00\x01"}, {headers, whole, 1, get}}, served},
		{"6.8: the client goes away, and waits for its answer", []frame{{headers, whole, 1, get}, {http2.FrameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"}}, served},
		{"8.1: trailers", []frame{{headers, open, 1, post}, {data, 0, 1, "x"}, {headers, whole, 1, string(frames.Block("x-sum", "1"))}}, served},

		{"4.2: a frame over the largest size", []frame{{headers, open, 1, post}, {data, 0, 1, strings.Repeat("x", largest+1)}}, size},
		{"4.3: a block that HPACK does not know", []frame{{headers, whole, 1, "\x80"}}, compress},
		{"4.3: a table larger than allowed", []frame{{headers, whole, 1, "\x3f\xff\xff\x7f" + get}}, compress},
		{"5.1: DATA on an idle stream", []frame{{data, 0, 1, "x"}}, protocol},
		{"5.1: RST_STREAM on an idle stream", []frame{{reset, 0, 1, "\x00\x00\x00\x08"}}, protocol},
		{"5.1: WINDOW_UPDATE on an idle stream", []frame{{window, 0, 1, "\x00\x00\x00\x01"}}, protocol},
		{"5.1: DATA after the end", []frame{{headers, whole, 1, cold}, {data, 0, 1, "x"}}, closed},
		{"5.1: HEADERS after the end", []frame{{headers, whole, 1, cold}, {headers, whole, 1, get}}, closed},
		{"5.1.1: a stream of the server's", []frame{{headers, whole, 2, get}}, protocol},
		{"5.1.1: a smaller stream", []frame{{headers, whole, 5, cold}, {headers, whole, 3, get}}, protocol},
		{"6.1: DATA on the connection", []frame{{data, 0, 0, "x"}}, protocol},
		{"6.1: more padding than frame", []frame{{headers, open, 1, post}, {data, http2.FlagDataPadded, 1, "\x09x"}}, protocol},
		{"6.2: HEADERS on the connection", []frame{{headers, whole, 0, get}}, protocol},
		{"6.2: more padding than block", []frame{{headers, whole | http2.FlagHeadersPadded, 1, "\xff" + get}}, protocol},
		{"6.2: another frame within a block", []frame{{headers, http2.FlagHeadersEndStream, 1, get}, {ping, 0, 0, "12345678"}}, protocol},
		{"6.3: PRIORITY of 4 bytes", []frame{{http2.FramePriority, 0, 1, "1234"}}, size},
		{"6.4: RST_STREAM of 3 bytes", []frame{{headers, open, 1, cold}, {reset, 0, 1, "\x00\x00\x08"}}, size},
		{"6.4: RST_STREAM on the connection", []frame{{reset, 0, 0, "\x00\x00\x00\x08"}}, protocol},
		{"6.5: SETTINGS of 5 bytes", []frame{{settings, 0, 0, "12345"}}, size},
		{"6.5: SETTINGS on a stream", []frame{{settings, 0, 1, ""}}, protocol},
		{"6.5: an ACK with settings", []frame{{settings, http2.FlagSettingsAck, 0, "\x00\x04\x00\x00\x00\x01"}}, size},
		{"6.5.2: ENABLE_PUSH of 2", []frame{{settings, 0, 0, "\x00\x02\x00\x00\x00\x02"}}, protocol},
		{"6.5.2: a window of 2 GiB", []frame{{settings, 0, 0, "\x00\x04\x80\x00\x00\x00"}}, flow},
		{"6.5.2: frames of 1 byte", []frame{{settings, 0, 0, "\x00\x05\x00\x00\x00\x01"}}, protocol},
		{"6.6: PUSH_PROMISE of a client", []frame{{http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, "\x00\x00\x00\x02" + get}}, protocol},
		{"6.7: PING of 7 bytes", []frame{{ping, 0, 0, "1234567"}}, size},
		{"6.7: PING on a stream", []frame{{ping, 0, 1, "12345678"}}, protocol},
		{"6.8: GOAWAY on a stream", []frame{{http2.FrameGoAway, 0, 1, "\x00\x00\x00\x00\x00\x00\x00\x00"}}, protocol},
		{"6.9: WINDOW_UPDATE of 0", []frame{{window, 0, 0, "\x00\x00\x00\x00"}}, protocol},
		{"6.9: WINDOW_UPDATE of 3 bytes", []frame{{window, 0, 0, "\x00\x00\x01"}}, size},
		{"6.9.1: the window of the connection overflows", []frame{{window, 0, 0, windowMax}, {window, 0, 0, windowMax}}, flow},
		{"6.9.1: the window of a stream overflows", []frame{{headers, open, 1, cold}, {window, 0, 1, windowMax}}, flow},
		// A window, and the bytes that are read ahead of a held body.
		{"6.9.1: more than the window", append([]frame{{headers, open, 1, cold}}, slices.Repeat([]frame{{data, 0, 1, strings.Repeat("x", largest)}}, 10)...), flow},
		{"6.10: CONTINUATION without HEADERS", []frame{{more, http2.FlagContinuationEndHeaders, 1, get}}, protocol},
		{"6.10: CONTINUATION of another stream", []frame{{headers, http2.FlagHeadersEndStream, 1, get}, {more, http2.FlagContinuationEndHeaders, 3, ""}}, protocol},
		{"8.1: trailers that do not end the stream", []frame{{headers, open, 1, cold}, {headers, open, 1, string(frames.Block("x-sum", "1"))}}, protocol},
		{"8.3: a pseudo field in trailers", []frame{{headers, open, 1, post}, {headers, whole, 1, string(frames.Block(":path", "/"))}}, protocol},
		{"8.3.1: no path", []frame{{headers, whole, 1, string(frames.Block(":method", "GET", ":scheme", "http", ":authority", "app.test"))}}, protocol},
		{"8.3.1: a status in a request", []frame{{headers, whole, 1, get + string(frames.Block(":status", "200"))}}, protocol},
	} {
		t.Run(test.reason, func(t *testing.T) {
			conn := w.dial()
			defer conn.Close()
			_, _ = io.WriteString(conn, http2.ClientPreface) // a write that fails fails a read
			framer := http2.NewFramer(conn, conn)
			framer.AllowIllegalWrites = true
			_ = framer.WriteSettings()
			for _, f := range test.frames {
				_ = framer.WriteRawFrame(f.kind, f.flags, f.stream, []byte(f.payload))
			}
			got, body := read(framer)
			if got != test.want || got == served && body != "ok" {
				t.Errorf("got %v with %q, want %v", got, body, test.want)
			}
			if again := w.do(w.request(http.MethodGet, "app.test", "/", "")); again.status != http.StatusOK {
				t.Errorf("others get %d, %v", again.status, again.err)
			}
		})
	}
}

// read returns the code with which a stream or the connection ends. If a stream ends properly, it
// returns 1<<30 and the body.
func read(framer *http2.Framer) (http2.ErrCode, string) {
	var body strings.Builder
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return http2.ErrCodeNo, err.Error()
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			body.Write(frame.Data())
			if frame.StreamEnded() {
				return 1 << 30, body.String()
			}
		case *http2.HeadersFrame:
			if frame.StreamEnded() {
				return 1 << 30, "no body"
			}
		case *http2.RSTStreamFrame:
			return frame.ErrCode, ""
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return frame.ErrCode, ""
			}
		}
	}
}

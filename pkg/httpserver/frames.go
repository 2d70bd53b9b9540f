package httpserver

import "encoding/binary"

// preface begins a connection of HTTP/2 (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frames follows the frames of one connection (RFC 9113, 4.1), to know which bytes belong
// to a header block, and where frames begin. It interprets nothing else: net/http has no hook
// before a block ends, and no limit on the time that takes.
type frames struct {
	matched int  // bytes of the preface that were read
	other   bool // the connection begins with something else
	head    [9]byte
	have    int // bytes of head that were read
	left    int // bytes of the frame's payload that were not read
}

const (
	frameData, frameHeaders, frameReset, frameContinuation = 0x0, 0x1, 0x3, 0x9
	flagEndStream, flagEndHeaders                          = 0x1, 0x4
)

// stream returns the stream of the last frame that began.
func (f *frames) stream() uint32 { return binary.BigEndian.Uint32(f.head[5:]) &^ (1 << 31) }

// next follows the next n bytes of b, which end with b or within a frame. Of these, block bytes
// belong to a header block. If end is set, they end that block; if began is set, they end the
// head of a frame.
func (f *frames) next(b []byte) (n, block int, end, began bool) {
	if f.have < len(f.head) {
		n = copy(f.head[f.have:], b)
		f.have += n
		if f.have < len(f.head) {
			return n, 0, false, false
		}
		f.left = int(binary.BigEndian.Uint32(f.head[:4]) >> 8)
		began = true
	} else {
		n = min(f.left, len(b))
		f.left -= n
		block = n
	}
	if kind := f.head[3]; kind != frameHeaders && kind != frameContinuation {
		block = 0
	} else {
		end = f.left == 0 && f.head[4]&flagEndHeaders != 0
	}
	if f.left == 0 {
		f.have = 0
	}
	return n, block, end, began
}

package main

import (
	"strconv"
	"strings"
	"time"
)

// mode is how a request goes wrong. The end of the model's name selects it, because every client
// of every API can choose the name freely.
type mode struct {
	status int  // of the failure; 0: none
	json   bool // answers with JSON instead of a stream

	cut  bool // cuts the connection in the middle of the answer
	html bool // fails like a proxy before the model: 502 and a page

	gzip  bool          // compresses the answer, whatever the client accepts
	hang  bool          // never answers
	pause time.Duration // between two tokens, at least
}

// slow is the pause of a slow model.
const slow = 200 * time.Millisecond

// modeOf reads the suffix of a model's name.
func modeOf(model string) mode {
	suffix := model[strings.LastIndexByte(model, '-')+1:]
	switch suffix {
	case "json":
		return mode{json: true}
	case "cut":
		return mode{cut: true}
	case "html":
		return mode{html: true}
	case "gzip":
		return mode{gzip: true}
	case "hang":
		return mode{hang: true}
	case "slow":
		return mode{pause: slow}
	}
	if status, err := strconv.Atoi(suffix); err == nil && status >= 400 && status <= 599 {
		return mode{status: status}
	}
	return mode{}
}

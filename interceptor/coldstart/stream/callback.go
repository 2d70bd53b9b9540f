package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Defaults of a streaming callback. They live here and not only in the schema:
// converted and standalone objects are not defaulted by an API server.
const (
	defaultInterval  = 5 * time.Second
	minInterval      = 100 * time.Millisecond
	defaultSeparator = "\n\n---\n\n"
)

// Callback is a compiled streaming callback: defaults applied, texts rendered as
// JSON strings. It is immutable and may be used by many requests at once.
type Callback struct {
	interval, initialDelay time.Duration
	display                v1beta1.StreamingDisplay
	// JSON strings, quotes included; separator is nil if there is none.
	message, keepalive, separator []byte
}

// Compile checks a spec and applies its defaults.
func Compile(spec *v1beta1.StreamingCallbackSpec) (*Callback, error) {
	c := &Callback{
		interval:     spec.Interval.Duration,
		initialDelay: spec.InitialDelay.Duration,
		display:      spec.Display,
		message:      quote(spec.Message),
		keepalive:    quote(spec.KeepaliveMessage),
	}
	if c.interval == 0 {
		c.interval = defaultInterval
	}
	if c.interval < minInterval {
		return nil, fmt.Errorf("compiling streaming callback: interval %s is shorter than %s", c.interval, minInterval)
	}
	if c.initialDelay < 0 {
		return nil, fmt.Errorf("compiling streaming callback: initialDelay %s is negative", c.initialDelay)
	}
	switch c.display {
	case "":
		c.display = v1beta1.StreamingDisplayContent
	case v1beta1.StreamingDisplayContent, v1beta1.StreamingDisplayReasoning, v1beta1.StreamingDisplayNone:
	default:
		return nil, fmt.Errorf("compiling streaming callback: unknown display %q", c.display)
	}
	if spec.Message == "" && c.display != v1beta1.StreamingDisplayNone {
		return nil, errors.New("compiling streaming callback: 'message' is required unless 'display' is None")
	}
	separator := defaultSeparator
	if spec.Separator != nil {
		separator = *spec.Separator
	}
	if separator != "" {
		c.separator = quote(separator)
	}
	return c, nil
}

// InitialDelay is how long to wait before the response begins, so that a quick
// wake or a quick failure keeps its real status.
func (c *Callback) InitialDelay() time.Duration { return c.initialDelay }

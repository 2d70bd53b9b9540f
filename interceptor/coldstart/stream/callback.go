package stream

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/kedacore/http-add-on/interceptor/coldstart/wake"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Defaults of a streaming callback. They live here and not only in the schema:
// converted and standalone objects are not defaulted by an API server.
const (
	defaultInterval  = 5 * time.Second
	minInterval      = 100 * time.Millisecond
	defaultSeparator = "\n\n---\n\n"
)

// How many characters the texts may have: each stream holds them, and they are
// searched for placeholders.
const (
	maxText      = 1024
	maxSeparator = 256
)

// Callback is a compiled streaming callback: defaults applied, texts rendered as
// JSON strings. It is immutable and may be used by many requests at once.
type Callback struct {
	interval, initialDelay time.Duration
	display                v1beta1.StreamingDisplay
	// JSON strings, quotes included; separator is nil if there is none.
	message, keepalive, separator []byte
	// moving are the texts that say how far the wake is; nil if none does.
	moving *moving
}

// moving are texts with placeholders. What stands in message and keepalive of a
// Callback is these texts at one moment.
type moving struct {
	message, keepalive wake.Text // inside of JSON strings
	progress           func() wake.Progress
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
	switch {
	case utf8.RuneCountInString(spec.Message) > maxText:
		return nil, fmt.Errorf("compiling streaming callback: 'message' has more than %d characters", maxText)
	case utf8.RuneCountInString(spec.KeepaliveMessage) > maxText:
		return nil, fmt.Errorf("compiling streaming callback: 'keepaliveMessage' has more than %d characters", maxText)
	case spec.Separator != nil && utf8.RuneCountInString(*spec.Separator) > maxSeparator:
		return nil, fmt.Errorf("compiling streaming callback: 'separator' has more than %d characters", maxSeparator)
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
	message, keepalive := wake.ParseText(spec.Message, inside), wake.ParseText(spec.KeepaliveMessage, inside)
	if message.Moves() || keepalive.Moves() {
		c.moving = &moving{message: message, keepalive: keepalive}
		return c.at(wake.Progress{}), nil
	}
	return c, nil
}

// Of returns the callback for one request, whose texts say how far the wake is
// that progress tells of. It is called by whoever calls Open and Wait. Without
// placeholders it is the callback itself.
func (c *Callback) Of(progress func() wake.Progress) *Callback {
	if c.moving == nil {
		return c
	}
	of, texts := *c, *c.moving
	texts.progress = progress
	of.moving = &texts
	return &of
}

// now is the callback with its texts as they read now.
func (c *Callback) now() *Callback {
	if c.moving == nil || c.moving.progress == nil {
		return c
	}
	return c.at(c.moving.progress())
}

// at is the callback with its texts as they read then.
func (c *Callback) at(p wake.Progress) *Callback {
	at := *c
	at.message, at.keepalive = said(c.moving.message, p), said(c.moving.keepalive, p)
	return &at
}

// said is a text as a JSON string.
func said(text wake.Text, p wake.Progress) []byte {
	return append(text.Append([]byte{'"'}, p), '"')
}

// inside is a text as it stands inside of a JSON string.
func inside(s string) string {
	q := quote(s)
	return string(q[1 : len(q)-1])
}

// InitialDelay is how long to wait before the response begins, so that a quick
// wake or a quick failure keeps its real status.
func (c *Callback) InitialDelay() time.Duration { return c.initialDelay }

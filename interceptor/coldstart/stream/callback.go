package stream

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// Defaults of a streaming callback. They live here and not only in the CRD's schema:
// an API server does not default converted and standalone objects.
const (
	defaultInterval  = 5 * time.Second
	minInterval      = 100 * time.Millisecond
	defaultSeparator = "\n\n---\n\n"
)

// Limits in characters: every open stream holds the texts, and each tick may search
// them for placeholders.
const (
	maxText      = 1024
	maxSeparator = 256
)

// Display says where the texts of a callback go.
type Display string

// The displays of the API.
const (
	DisplayContent   Display = "Content"
	DisplayReasoning Display = "Reasoning"
	DisplayNone      Display = "None"
)

// Options describe a streaming callback. Zero values select the defaults.
type Options struct {
	// Message is the text of the first event, KeepaliveMessage that of each
	// keepalive. Both may hold placeholders (package eta).
	Message, KeepaliveMessage string
	// Separator is written once before the real answer; nil selects the default,
	// an empty one writes nothing.
	Separator *string
	// Interval is the time between two keepalives.
	Interval time.Duration
	// InitialDelay postpones the commit, so that a quick wake or a quick failure
	// keeps its real status.
	InitialDelay time.Duration
	Display      Display
}

// Callback is a compiled streaming callback: defaults applied, texts escaped for
// JSON. It is immutable and shared by many requests.
type Callback struct {
	interval, initialDelay time.Duration
	display                Display
	message, keepalive     eta.Text // escaped as parts of a JSON string
	separator              []byte   // a JSON string; nil writes nothing
}

// Compile checks options and applies the defaults. The error names the field.
func Compile(o Options) (*Callback, error) {
	c := &Callback{
		interval:     o.Interval,
		initialDelay: o.InitialDelay,
		display:      o.Display,
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
		c.display = DisplayContent
	case DisplayContent, DisplayReasoning, DisplayNone:
	default:
		return nil, fmt.Errorf("compiling streaming callback: unknown display %q", c.display)
	}
	switch {
	case utf8.RuneCountInString(o.Message) > maxText:
		return nil, fmt.Errorf("compiling streaming callback: 'message' has more than %d characters", maxText)
	case utf8.RuneCountInString(o.KeepaliveMessage) > maxText:
		return nil, fmt.Errorf("compiling streaming callback: 'keepaliveMessage' has more than %d characters", maxText)
	case o.Separator != nil && utf8.RuneCountInString(*o.Separator) > maxSeparator:
		return nil, fmt.Errorf("compiling streaming callback: 'separator' has more than %d characters", maxSeparator)
	}
	if o.Message == "" && c.display != DisplayNone {
		return nil, errors.New("compiling streaming callback: 'message' is required unless 'display' is None")
	}
	c.message, c.keepalive = eta.ParseText(o.Message, inside), eta.ParseText(o.KeepaliveMessage, inside)
	separator := defaultSeparator
	if o.Separator != nil {
		separator = *o.Separator
	}
	if separator != "" {
		c.separator = quote(separator)
	}
	return c, nil
}

// InitialDelay is how long to wait before the response is committed.
func (c *Callback) InitialDelay() time.Duration { return c.initialDelay }

// ShowsStage reports whether keepalives have a place for the stage of the wake.
func (c *Callback) ShowsStage() bool { return c.keepalive.ShowsPhase() || c.keepalive.ShowsReason() }

// texts are what a stream shows at one moment, as JSON strings.
type texts struct {
	message, keepalive []byte
	separator          []byte // nil writes nothing
	reasoning          bool   // shown as reasoning, not as content
}

// texts renders the callback's texts.
func (c *Callback) texts(now eta.Progress) texts {
	return texts{
		message:   jsonString(c.message, now),
		keepalive: jsonString(c.keepalive, now),
		separator: c.separator,
		reasoning: c.display == DisplayReasoning,
	}
}

// jsonString renders a text as a JSON string.
func jsonString(text eta.Text, now eta.Progress) []byte {
	return append(text.Append([]byte{'"'}, now), '"')
}

// inside escapes s as a part of a JSON string.
func inside(s string) string {
	q := quote(s)
	return string(q[1 : len(q)-1])
}

package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// ErrNoWatch is returned for an interceptor that answers but does not stream: it
// is older than the watch, and must be polled.
var ErrNoWatch = errors.New("the interceptor does not stream its counts")

// ErrSilent is returned for an interceptor that said nothing for too long.
var ErrSilent = errors.New("the interceptor is silent")

// maxSilence is three bookmarks.
const maxSilence = 3 * bookmarkInterval

// Client reads the stream of an interceptor. The zero value is ready to use.
type Client struct {
	// HTTP makes the requests; nil is http.DefaultClient. It must have no
	// Timeout, which would cut the stream.
	HTTP *http.Client
}

// Watch reads the stream at the given URL of an interceptor's /queue, and calls
// handle for every event, in order and on the calling goroutine. The first event
// is a snapshot. It returns when ctx ends, or the stream does (io.EOF), breaks,
// is silent for 15 s (ErrSilent) or makes no sense; never nil. The counts received
// stay valid until the next snapshot.
func (c *Client) Watch(ctx context.Context, address string, handle func(Event)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(maxSilence, func() { cancel(ErrSilent) })
	defer silence.Stop()

	body, err := c.open(ctx, address)
	if err != nil {
		return because(ctx, err)
	}
	defer func() { _ = body.Close() }() // nothing to lose

	lines := newLineReader(body)
	for first := true; ; first = false {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return because(ctx, fmt.Errorf("reading the counts: %w", err))
		}
		silence.Reset(maxSilence)
		e, err := decode(line)
		if err != nil {
			return err
		}
		if first && e.Type != Snapshot {
			return fmt.Errorf("reading the counts: the first event is %.20q", e.Type)
		}
		switch e.Type {
		case Snapshot, Update, Bookmark:
			handle(e)
		}
	}
}

// open starts the stream.
func (c *Client) open(ctx context.Context, address string) (io.ReadCloser, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parsing the address: %w", err)
	}
	query := u.Query()
	query.Set(WatchQuery, "true")
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("requesting the counts: %w", err)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("requesting the counts: %w", err)
	}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode != http.StatusOK:
		err = fmt.Errorf("requesting the counts: status %d", response.StatusCode)
	case mediaType != ContentTypeWatch:
		err = ErrNoWatch
	default:
		return response.Body, nil
	}
	_ = response.Body.Close() // unread: its connection is not used again
	return nil, err
}

// decode reads one line and refuses numbers that no interceptor counts.
func decode(line []byte) (Event, error) {
	if string(line) == bookmarkLine { // most lines of an idle interceptor
		return Event{Type: Bookmark}, nil
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("decoding an event: %w", err)
	}
	for route, count := range e.Counts {
		if count.Concurrency < 0 || count.RequestCount < 0 {
			return Event{}, fmt.Errorf("decoding an event: negative count of route %.100q", route)
		}
	}
	return e, nil
}

// because returns why ctx ended, if it did: that is why the read failed.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

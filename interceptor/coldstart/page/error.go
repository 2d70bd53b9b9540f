package page

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// WriteError answers a navigation with an error page in the style of the
// waiting page. It shows nothing but status and message. With retryAfter above
// 0 the browser is told to, and by itself does, ask again after that time; in
// any case the page has a link to try again.
func WriteError(w http.ResponseWriter, r *http.Request, status int, message string, retryAfter time.Duration) {
	f, err := shared()
	if err != nil {
		http.Error(w, message, status)
		return
	}
	v := view{Title: title(status), Message: message, Retry: true}
	if retryAfter > 0 {
		v.Refresh = wholeSeconds(retryAfter)
		w.Header().Set("Retry-After", strconv.Itoa(v.Refresh))
	}
	own, err := f.render(v)
	if err != nil {
		http.Error(w, message, status)
		return
	}
	setHeader(w.Header(), f)
	w.Header().Set("Content-Length", strconv.Itoa(len(f.head)+len(own)+len(f.tail)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	// An error here is the client's departure: there is nobody left to tell.
	_ = write(w, f.head, own, f.tail)
}

// title is what an error page is called.
func title(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return fmt.Sprintf("Error %d", status)
}

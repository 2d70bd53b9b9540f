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
	own, err := f.render(view{Title: title(status)})
	if err != nil {
		http.Error(w, message, status)
		return
	}
	refresh := 0
	if retryAfter > 0 {
		refresh = wholeSeconds(retryAfter)
		w.Header().Set("Retry-After", strconv.Itoa(refresh))
	}
	body := append([]byte(nil), f.head...)
	body = append(body, meta(r, refresh)...)
	body = append(body, own...)
	body = append(body, escape(message)...)
	body = append(body, `</p></div><div><a href="">Try again</a>`...)
	body = append(body, "<script data-again>"+tryAgain+"</script>"...)
	body = append(body, f.scriptFor(r, refresh)...)
	body = append(body, f.closing...)
	setHeader(w.Header(), r, f.errorPolicy, refresh)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	// An error here is the client's departure: there is nobody left to tell.
	_ = write(w, body)
}

// title is what an error page is called.
func title(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return fmt.Sprintf("Error %d", status)
}

package page

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retry is when a browser asks again after a failure that may pass. Retry-After may be
// longer: a person looks at this page.
const retry = 10 * time.Second

// WriteError answers a navigation or a form with an error page in the style of the waiting page.
// It has words for the user, and status and message for support. If the cause may pass, or if
// retryAfter is above 0, the browser asks again by itself. It does not send a form again by
// itself, because that may do something twice.
func WriteError(w http.ResponseWriter, r *http.Request, status int, message string, retryAfter time.Duration) {
	f, err := shared()
	if err != nil {
		http.Error(w, message, status)
		return
	}
	title, text := words(status)
	own, err := f.render(view{Title: title})
	if err != nil {
		http.Error(w, message, status)
		return
	}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wholeSeconds(retryAfter)))
	}
	if passes(status) && (retryAfter <= 0 || retryAfter > retry) {
		retryAfter = retry
	}
	form, refresh := r.Method == http.MethodPost, wholeSeconds(retryAfter)
	switch {
	case form:
		text += " What you sent may not have arrived. Reload this page to send it again."
		refresh = 0
	case refresh > 0:
		text += " This page tries again by itself."
	}
	body := append([]byte(nil), f.head...)
	body = append(body, meta(r, refresh)...)
	body = append(body, own...)
	body = append(body, text...)
	code := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	body = append(body, "</p></div>"...)
	if !form {
		body = append(body, `<div><a href="">Try again</a></div>`...)
	}
	body = append(body, f.scriptFor(r, refresh)...)
	body = append(body, "<div><small>"+code+": "+escape(message)+"</small>"...)
	body = append(body, f.closing...)
	setHeader(w.Header(), r, f.policy, refresh)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	// An error here only means that the client has left.
	_ = write(w, body)
}

// passes reports whether the cause of a failure may pass by itself.
func passes(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// words say a failure to people: what has happened, and what it means for them.
func words(status int) (title, text string) {
	switch status {
	case http.StatusNotFound:
		return "Nothing here", "No application answers at this address. Is it the right one?"
	case http.StatusBadGateway:
		return "No connection", "The application is there, but does not answer."
	case http.StatusServiceUnavailable:
		return "Not available", "The application cannot take your request at the moment."
	case http.StatusGatewayTimeout:
		return "No answer yet", "The application has not answered in time. It may still be starting."
	}
	if status >= http.StatusInternalServerError {
		return "Something went wrong", "Your request could not be answered."
	}
	return "Request refused", "Your request could not be read."
}

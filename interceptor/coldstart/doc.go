// Package coldstart is what a client gets while its backend wakes, as far as it
// depends on the client and not on the route: reading a request's body ahead
// of a wait, and answering a failure in the client's own shape. How a stream or
// a page is kept alive is in the packages stream and page. It decides nothing
// about routes, endpoints or waiting, and knows neither Kubernetes nor what an
// exchange is.
package coldstart

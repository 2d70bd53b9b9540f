// Package browser tests the pages of a cold start in real browsers. They are Chromium and
// Firefox, with and without scripts, at addresses with and without a fragment. The waiting page
// shows itself at once, turns into the application when that is ready, and recovers by itself
// from a stream that was cut. Where it cannot recover, it says so.
//
// The tests are behind the build tag "browser". They need Chromium, which the environment
// variable CHROMIUM may name, and Firefox, which FIREFOX may name.
package browser

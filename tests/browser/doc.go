// Package browser tests the pages of a cold start in real browsers, Chromium and Firefox,
// with scripts and without, at addresses with a fragment and without: that the waiting
// page shows itself at once, turns into the application when that is ready, recovers by
// itself from a stream that was cut, and says what it must where that cannot be.
//
// The tests are behind the build tag "browser". They need Chromium, which the environment
// variable CHROMIUM may name, and Firefox, which FIREFOX may name.
package browser

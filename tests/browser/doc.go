// Package browser tests the waiting page in a real Chromium: that it shows
// itself at once, turns into the application when that is ready, with and
// without JavaScript, and recovers by itself from a stream that was cut.
//
// The tests are behind the build tag "browser" and need a Chromium: the
// program that the environment variable CHROMIUM names, else chromium or
// google-chrome of the PATH.
package browser

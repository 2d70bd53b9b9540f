// Package bench holds whole-process comparisons: the interceptor beside programs
// that do the same work, in one run, so that the machine's speed cancels out.
package bench

import (
	"os"
	"testing"

	"github.com/kedacore/http-add-on/tests/bench/role"
)

func TestMain(m *testing.M) {
	role.Main()
	os.Exit(m.Run())
}

// start starts a process that ends with the test.
func start(t testing.TB, name string, options any) *role.Server {
	t.Helper()
	p, err := role.Start(name, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	if err := p.Wait("/started", 1); err != nil {
		t.Fatal(err)
	}
	return p
}

// app is an interceptor with one route. Its target sleeps, and its cold start streams to clients
// that ask for a stream.
var app = role.InterceptorOptions{Services: []string{"app"}, ColdStart: role.StreamingCallback()}

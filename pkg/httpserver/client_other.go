//go:build !linux

package httpserver

import "syscall"

// hungUp reports false: only Linux is asked.
func hungUp(syscall.RawConn) bool { return false }

// readable reports false: only Linux is asked.
func readable(syscall.RawConn) bool { return false }

//go:build !linux

package httpserver

import "syscall"

// hungUp reports false: only Linux is asked.
func hungUp(syscall.RawConn) bool { return false }

// readable reports false: only Linux is asked.
func readable(syscall.RawConn) bool { return false }

// BoundUnsent does nothing: only Linux is asked.
func BoundUnsent(syscall.RawConn) {}

// look reports that the second socket has to be read: only Linux is asked.
func look(_, _ syscall.RawConn) (left, unread bool) { return false, true }

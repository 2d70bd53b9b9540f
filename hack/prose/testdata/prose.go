// Package testdata holds comments and messages that break rules. It is told to the reader.
//
// +kubebuilder:validation:XValidation:message="it is told in a pragma"
package testdata

import (
	"errors"
	"fmt"
)

//go:generate echo it is told in a pragma

var errTold = errors.New("the client is told to wait")

// fail waits for
// ever.
func fail(name string) error {
	if name == "it is told in a literal that nobody reads" {
		return errTold // it is told at the end of a line
	}
	return fmt.Errorf("the behaviour of %s", name)
}

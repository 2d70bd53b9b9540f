// Package objects makes API objects for tests: small valid ones, complete ones
// with every field set, and for each rule of the API one that keeps it and one
// that breaks it. It applies nothing and knows no cluster.
package objects

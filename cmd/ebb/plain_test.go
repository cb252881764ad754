//go:build !race

package main

// plain is for when the tests have the race detector in them.
func plain() (remove func(), err error) { return func() {}, nil }

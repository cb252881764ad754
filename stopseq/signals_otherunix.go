//go:build unix && !linux

package stopseq

var more []named

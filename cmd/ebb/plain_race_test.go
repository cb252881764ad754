//go:build race

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// plain has what runs the program as others do find it as they would: built without
// the race detector, with which each of a thousand starts takes a second.
func plain() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "ebb-plain-")
	if err != nil {
		return nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "ebb"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		remove()
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return remove, nil
}

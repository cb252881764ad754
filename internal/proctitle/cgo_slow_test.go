//go:build slow && linux

package proctitle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program that is linked with C keeps what C's getenv finds.
func TestCKeepsItsEnvironment(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", program, "./testdata/cgo")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nhint: apt-get install gcc libc6-dev", err, out)
	}
	cmd := exec.Command(program)
	cmd.Env = []string{"EBB_FIRST=one", "EBB_FILL=" + strings.Repeat("x", 500), "EBB_LAST=two"}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "onetwo" {
		t.Errorf("getenv finds %q, %v", out, err)
	}
}

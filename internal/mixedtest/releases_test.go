//go:build unix && slow

package mixedtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// oldCommit is the release that must be able to run beside this one: the commit of
// the last tag, and as long as there is none a commit that was in use.
const oldCommit = "571e23caeebc92e38f4030e5613e7c0a698c20e1"

// A release is a version of the command ebb.
type release struct {
	name string
	path func() (string, error) // of the binary, which the first call builds
}

var (
	older = &release{"old", sync.OnceValues(buildOlder)}
	newer = &release{"new", sync.OnceValues(buildNewer)}
)

func (r *release) other() *release {
	if r == older {
		return newer
	}
	return older
}

// folder is where this run keeps what it has built.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "ebb-mixed-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func buildNewer() (string, error) {
	return build(filepath.Join("..", ".."), filepath.Join(folder, "ebb"))
}

// buildOlder takes the old release from the cache, into which the first one that
// asks puts it.
func buildOlder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "ebb-old")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	binary := filepath.Join(cache, oldCommit)
	if _, err := os.Stat(binary); !errors.Is(err, os.ErrNotExist) {
		return binary, err
	}
	source, err := checkOut(oldCommit)
	if err != nil {
		return "", err
	}
	half, err := build(source, binary+".half")
	if err != nil {
		return "", fmt.Errorf("commit %s: %w", oldCommit, err)
	}
	return binary, os.Rename(half, binary)
}

// checkOut writes the files of a commit below folder. A clone that is too shallow
// to have it asks its origin.
func checkOut(commit string) (string, error) {
	if _, err := run("git", "cat-file", "-e", commit+"^{commit}"); err != nil {
		if _, fetched := run("git", "fetch", "--quiet", "--depth=1", "origin", commit); fetched != nil {
			return "", fmt.Errorf("the old release is commit %s, which this clone lacks: %w\nhint: git fetch origin %[1]s, or git fetch --unshallow", commit, fetched)
		}
	}
	source, archive := filepath.Join(folder, "source"), filepath.Join(folder, "source.tar")
	if err := os.Mkdir(source, 0o755); err != nil {
		return "", err
	}
	// From a folder below its top, git would archive that folder alone.
	if _, err := run("git", "-C", filepath.Join("..", ".."), "archive", "--output="+archive, commit); err != nil {
		return "", err
	}
	_, err := run("tar", "-xf", archive, "-C", source)
	return source, err
}

func build(source, binary string) (string, error) {
	_, err := run("go", "-C", source, "build", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./cmd/ebb")
	return binary, err
}

func run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0") // as releases are built
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), nil
}

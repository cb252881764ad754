package control

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// maxPath is what fits into a socket address with its final NUL, on every system
// that has them (Linux: 108 bytes, macOS: 104).
const maxPath = 103

// Dirs are the folders that a socket is looked for and made in, in this order.
func Dirs(getenv func(string) string) []string {
	dirs := []string{"/run/ebb"}
	if d := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		dirs = append(dirs, d)
	}
	if d := getenv("TMPDIR"); filepath.IsAbs(d) {
		return append(dirs, d)
	}
	return append(dirs, os.TempDir())
}

// Listen makes the socket of process pid: a file ebb-<pid>-<random>.sock that
// only its user may open, in the first of dirs that can be written to, else, on
// Linux, the abstract name @ebb-<pid>. It removes what processes that were killed
// have left in that folder. An error means that there is no socket, and carries
// every reason; a process runs as well without.
func Listen(pid int, dirs []string) (*Server, error) {
	var random [3]byte
	rand.Read(random[:])
	name := fmt.Sprintf("ebb-%d-%s", pid, hex.EncodeToString(random[:]))
	var errs []error
	for _, dir := range dirs {
		l, err := listenFile(filepath.Join(dir, name+".sock"))
		if err == nil {
			sweep(dir)
			return newServer(l), nil
		}
		errs = append(errs, err)
	}
	if runtime.GOOS == "linux" {
		// The name may be taken: containers on one host network all have a process 1.
		for _, name := range []string{fmt.Sprintf("@ebb-%d", pid), "@" + name} {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
			if err == nil {
				return newServer(l), nil
			}
			errs = append(errs, fmt.Errorf("control: listen on %s: %w", name, err))
		}
	}
	return nil, errors.Join(errs...)
}

func newServer(l *net.UnixListener) *Server {
	return &Server{listener: l, peer: peerUID, uid: os.Getuid()}
}

func listenFile(path string) (*net.UnixListener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("control: listen on %s: path is longer than %d bytes", path, maxPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control: listen on %s: %w", path, err)
	}
	// Whoever was quicker is still asked for its name when it calls.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control: protect %s: %w", path, err)
	}
	return l, nil
}

// youth protects sockets that are being made: between bind and listen they refuse
// calls as dead ones do.
const youth = time.Minute

// sweep removes sockets in dir that nobody listens on any more. Names are never
// used twice, so none that comes alive later is among them.
func sweep(dir string) {
	paths, _ := filepath.Glob(filepath.Join(escape(dir), "ebb-*.sock"))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&os.ModeSocket == 0 || time.Since(info.ModTime()) < youth {
			continue
		}
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			conn.Close()
		} else if refused(err) {
			os.Remove(path) // another user's stays, by the folder's sticky bit
		}
	}
}

// escape takes from a folder's name what Glob would read as a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

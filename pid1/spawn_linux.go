package pid1

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes of a command that could not be started, as shells and tini have them.
const (
	exitNotRunnable = 126
	exitNotFound    = 127
)

// spawn starts a command in a process group of its own and returns its number. With
// nil files it gets ours.
func spawn(command, environ []string, files []uintptr) (int, error) {
	path, err := find(command[0], cmp.Or(lookup(environ, "PATH"), "/usr/local/bin:/bin:/usr/bin"))
	if err != nil {
		return 0, err
	}
	if files == nil {
		files = []uintptr{0, 1, 2}
	}
	attr := &syscall.ProcAttr{Env: environ, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}}
	pid, err := syscall.ForkExec(path, command, attr)
	if errors.Is(err, syscall.ENOEXEC) {
		// A script without #!, which execvp(3) hands to the shell and Go does not.
		pid, err = syscall.ForkExec("/bin/sh", append([]string{"sh", path}, command[1:]...), attr)
	}
	return pid, err
}

// find looks a command up in the folders of path, as execvp(3) does: what is there and
// cannot be run is only the answer if nothing else is found.
func find(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var err error = syscall.ENOENT
	for dir := range strings.SplitSeq(path, ":") {
		file := filepath.Join(cmp.Or(dir, "."), name)
		info, statErr := os.Stat(file)
		switch {
		case statErr != nil:
		case info.Mode().IsRegular() && unix.Access(file, unix.X_OK) == nil:
			if !strings.Contains(file, "/") {
				file = "./" + file
			}
			return file, nil
		default:
			err = syscall.EACCES
		}
	}
	return "", err
}

// exitOf is the code of a command that could not be started.
func exitOf(err error) int {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return exitNotFound
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EISDIR):
		return exitNotRunnable
	}
	return 1
}

// terminal is the terminal that is our standard input, if we were given one and are
// the ones who may read from it.
func terminal() bool {
	owner, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err == nil && owner == unix.Getpgrp()
}

// handTerminal makes group the one that reads from the terminal and that its keys
// signal. A group that is not in charge of it is stopped for trying, unless it holds
// the signal off.
func handTerminal(group int) {
	holding(syscall.SIGTTOU, func() { _ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group) })
}

package command

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Spec declares a program as the handler of a kind.
type Spec struct {
	Kind string
	// Argv is the program and its arguments. A program's name without a slash is
	// looked up in PATH; a relative one with a slash starts at Dir.
	Argv []string
	// Dir is where the program runs. Default: where the worker does.
	Dir string
	// Env is added to the worker's environment, as "name=value".
	Env []string
	// Timeout is how long a run may take where its payload says nothing. Default: for
	// ever.
	Timeout time.Duration
	// Notice is sent to the program itself when a stop begins, and not to what it has
	// started. It must be prepared for it from its first moment: most signals kill
	// who is not, which counts as an interruption. Default: nothing is sent.
	Notice os.Signal
	// Snooze is for how long the job rests when the program asks for another try.
	// Default: 15 s.
	Snooze time.Duration
}

const defaultSnooze = 15 * time.Second

// Check says what is wrong with s, all at once, a program that cannot be found or
// executed included. What is right now may be wrong at the first job.
func (s Spec) Check() error {
	var problems []error
	for _, text := range append(append([]string{s.Kind, s.Dir}, s.Argv...), s.Env...) {
		if strings.ContainsRune(text, 0) {
			problems = append(problems, fmt.Errorf("%q has a NUL byte in it", text))
		}
	}
	for _, v := range s.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			problems = append(problems, fmt.Errorf("%q is not name=value", v))
		}
	}
	if s.Timeout < 0 || s.Snooze < 0 {
		problems = append(problems, fmt.Errorf("timeout of %v and snooze of %v: a time is negative", s.Timeout, s.Snooze))
	}
	if s.Dir != "" {
		if info, err := os.Stat(s.Dir); err != nil {
			problems = append(problems, err)
		} else if !info.IsDir() {
			problems = append(problems, fmt.Errorf("%s is not a folder", s.Dir))
		}
	}
	if path, err := s.program(); err != nil {
		problems = append(problems, err)
	} else if err := interpreted(path); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", path, err))
	}
	problems = append(problems, s.fits())
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("command: handler for %s: %w", s.Kind, err)
	}
	return nil
}

// program finds the file to execute.
func (s Spec) program() (string, error) {
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return "", errors.New("there is no command")
	}
	name := s.Argv[0]
	if strings.ContainsAny(name, "/"+string(filepath.Separator)) && !filepath.IsAbs(name) {
		abs, err := filepath.Abs(filepath.Join(s.Dir, name))
		if err != nil {
			return "", err
		}
		name = abs
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	// The path is all that a person needs beside the reason.
	if wrapped, ok := errors.AsType[*exec.Error](err); ok {
		err = wrapped.Err
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	return "", fmt.Errorf("%s: %w", name, err)
}

// errInterpreter says what the system leaves open when it finds no file: it is not the
// script that is missing.
var errInterpreter = fmt.Errorf("%w: the interpreter in its first line", syscall.ENOENT)

// interpreted looks whether the program that a script's first line names is there. Of
// what cannot be read, or is no script, it says nothing.
func interpreted(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	first, _ := bufio.NewReaderSize(file, 256).ReadSlice('\n') // systems read no more
	line, script := bytes.CutPrefix(first, []byte("#!"))
	if fields := strings.Fields(string(line)); script && len(fields) > 0 {
		if _, err := os.Stat(fields[0]); errors.Is(err, fs.ErrNotExist) {
			return errInterpreter
		}
	}
	return nil
}

func (s Spec) snooze() time.Duration { return cmp.Or(s.Snooze, defaultSnooze) }

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKilledTwice runs the program as a user does, kills it twice on its way, and
// reads the ledger.
func TestKilledTwice(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const files = 400
	dir, temp := t.TempDir(), t.TempDir()
	grow(t, dir, files)
	start := func() (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.CommandContext(t.Context(), program, dir)
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() && stderr.Len() > 0 {
				t.Logf("standard error:\n%s", &stderr)
			}
		})
		return cmd, bufio.NewScanner(out)
	}

	var all strings.Builder
	for _, share := range []int{files / 10, files / 2} {
		cmd, lines := start()
		for done := 0; done < share && lines.Scan(); {
			t.Log(lines.Text())
			fmt.Fprintln(&all, lines.Text())
			fmt.Sscanf(lines.Text(), "%d of", &done)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if cmd.ProcessState.Success() {
			t.Fatal("it ended before it could be killed")
		}
	}

	cmd, lines := start()
	for lines.Scan() {
		t.Log(lines.Text())
		fmt.Fprintln(&all, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"rescued: ", "resumed: the walk goes on after file ",
		fmt.Sprintf("accepted   %7d ", files+1),
		fmt.Sprintf("done       %7d", files+1),
		fmt.Sprintf("lost       %7d", 0),
		fmt.Sprintf("checked    %7d ", files),
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("it never said %q", want)
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// grow makes a tree of files that take a while, and of what is to be left out.
func grow(t *testing.T, dir string, files int) {
	t.Helper()
	noise := rand.NewChaCha8([32]byte{})
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprint("d", i%7))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(io.LimitReader(noise, 64<<10))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
}

func TestNothingThere(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for name, dir := range map[string]string{"empty": t.TempDir(), "missing": filepath.Join(t.TempDir(), "no")} {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), dir); err == nil {
				t.Error("no error")
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestDisplay(t *testing.T) {
	t.Parallel()
	var plain, terminal strings.Builder
	for _, d := range []*display{{w: &plain}, {w: &terminal, terminal: true}} {
		d.progress("1 of %d", 2)
		d.progress("1 of 2")
		d.say("rescued")
	}
	if want := "1 of 2\nrescued\n"; plain.String() != want {
		t.Errorf("without a terminal %q, want %q", plain.String(), want)
	}
	if want := "\r\033[K1 of 2\r\033[Krescued\n"; terminal.String() != want {
		t.Errorf("on a terminal %q, want %q", terminal.String(), want)
	}
}

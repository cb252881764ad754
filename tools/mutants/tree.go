package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// tree is a copy of the repository.
type tree struct {
	dir  string
	was  map[string][]byte // files that were edited
	lock *os.File
}

// copyTree brings the copy up to date with what git would commit of the repository,
// changes and new files included. Another run of this command keeps it out.
func copyTree(root string) (*tree, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "ebb-mutants")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s is in use: %w", dir, err)
	}
	t := &tree{dir: dir, was: map[string][]byte{}, lock: lock}
	if err := t.update(root); err != nil {
		t.unlock()
		return nil, fmt.Errorf("copy %s: %w", root, err)
	}
	return t, nil
}

func (t *tree) unlock() { t.lock.Close() }

func (t *tree) update(root string) error {
	list, err := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			return err
		}
		wanted[name] = true
		if err := t.copyFile(filepath.Join(root, name), name, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return filepath.WalkDir(t.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(t.dir, path)
		if err != nil || wanted[name] {
			return err
		}
		return os.Remove(path)
	})
}

// copyFile leaves a file that is the same alone, with its time.
func (t *tree) copyFile(from, name string, mode fs.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	to := filepath.Join(t.dir, name)
	if there, err := os.ReadFile(to); err == nil && bytes.Equal(there, text) {
		return os.Chmod(to, mode)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, mode)
}

func (t *tree) edit(h hunk) error {
	path := filepath.Join(t.dir, h.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := h.apply(text)
	if err != nil {
		return err
	}
	if _, again := t.was[path]; !again {
		t.was[path] = text
	}
	return os.WriteFile(path, changed, 0o644)
}

// restore takes all edits back. What it cannot write, the next run copies anew.
func (t *tree) restore() {
	for path, text := range t.was {
		os.WriteFile(path, text, 0o644)
	}
	clear(t.was)
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ebbjobs/ebb/doctor"
)

// TestRewrite writes through a link, keeps the file's mode, and leaves alone what
// somebody has changed in the meantime.
func TestRewrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "start"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("start", link); err != nil {
		t.Fatal(err)
	}
	s := doctor.Source{Name: filepath.ToSlash(link), Text: []byte("old")}
	if err := rewrite(s, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(s, []byte("newer")); err == nil {
		t.Error("a file that has changed was written")
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	info, err := os.Lstat(file)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err = os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

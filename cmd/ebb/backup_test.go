package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, test := range []struct {
		name, before, want string
		write              func(io.Writer) error
		err                error
	}{
		{"new", "", "all", func(w io.Writer) error { _, err := io.WriteString(w, "all"); return err }, nil},
		{"in place of another", "old", "all", func(w io.Writer) error { _, err := io.WriteString(w, "all"); return err }, nil},
		{"half way", "old", "old", func(w io.Writer) error { io.WriteString(w, "ha"); return broken }, broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			name := filepath.Join(dir, "b")
			if test.before != "" {
				os.WriteFile(name, []byte(test.before), 0o600)
			}
			if err := replaceFile(name, 0o600, test.write); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != test.want {
				t.Errorf("it holds %q, %v; want %q", got, err, test.want)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("there are %v, %v", entries, err)
			}
		})
	}
}

// refusing is a store that cannot be restored.
type refusing struct {
	store.Store
	err error
}

func (r *refusing) Backup(context.Context, io.Writer) error { return r.err }
func (r *refusing) Restore(_ context.Context, in io.Reader, _ bool) error {
	io.Copy(io.Discard, in)
	return r.err
}

func TestRestoreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
		exit int
		hint string
	}{
		{"in use", store.ErrInUse, exitAgain, "stop them first: host-3:7 (ebb processes stop --all --wait)"},
		{"not empty", store.ErrNotEmpty, exitRefused, "--replace lets go of the jobs that are there; ebb backup saves them before"},
		{"damaged", store.ErrCorrupt, exitStore, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New(memstore.Options{})
			beat(t.Context(), t, s, store.Presence{ID: lostID, State: "running"})
			a, _, _ := appOn(&refusing{s, test.err})
			a.flags.yes = true
			err := a.restoreFrom(t.Context(), strings.NewReader("backup"), "-", false)
			if exitOf(err) != test.exit || store.Hint(err) != test.hint {
				t.Errorf("exit %d, hint %q: %v", exitOf(err), store.Hint(err), err)
			}
			for c := range s.Changes(t.Context()) {
				t.Errorf("the audit trail says %+v", c)
			}
		})
	}
}

func TestNoArchive(t *testing.T) {
	t.Parallel()
	if _, err := archiverOf(struct{ store.Store }{memstore.New(memstore.Options{})}); err == nil || store.Hint(err) == "" {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

func newBackup(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "backup FILE|-", Short: "Copy all that the store keeps into a file",
		Long: `Copy all that the store keeps, as of one moment, into a file, while processes go on.

The file appears under its name when it is whole and on disk. With - the copy goes
to standard output; one that is cut short is refused by ebb restore.`,
		Example: example("ebb backup ebb.backup", "ebb backup ebb.backup --force", "ebb backup - > ebb.copy"),
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[0]
			if file == "-" && a.term.OutWatched {
				return code(exitUsage, store.WithHint(errors.New("a backup is nothing for a terminal"), "ebb backup - > FILE, or ebb backup FILE"))
			}
			if _, err := os.Lstat(file); err == nil && file != "-" && !force {
				return code(exitRefused, store.WithHint(fmt.Errorf("%s is there already", file), "--force replaces it"))
			}
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			archiver, err := archiverOf(s)
			if err != nil {
				return err
			}
			if file == "-" {
				return a.backup(cmd.Context(), archiver, a.term.Raw)
			}
			return replaceFile(file, func(w io.Writer) error { return a.backup(cmd.Context(), archiver, w) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

// archiverOf refuses stores that cannot be copied as a whole.
func archiverOf(s store.Store) (store.Archiver, error) {
	if archiver, ok := s.(store.Archiver); ok {
		return archiver, nil
	}
	return nil, store.WithHint(fmt.Errorf("%s cannot be copied as a whole", s.Describe().URL), "ebb jobs export writes its jobs")
}

func (a *app) backup(ctx context.Context, archiver store.Archiver, w io.Writer) error {
	c := &counted{Writer: w, bar: a.term.Progress("copying", 0)}
	defer c.bar.End()
	if err := archiver.Backup(ctx, c); err != nil {
		return err
	}
	c.bar.End()
	a.say("copied %s", console.Bytes(c.n))
	return nil
}

// counted shows how many bytes went through.
type counted struct {
	io.Reader
	io.Writer
	bar *console.Progress
	n   int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.add(n)
	return n, err
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.add(n)
	return n, err
}

func (c *counted) add(n int) {
	c.n += int64(n)
	c.bar.Set(c.n, console.Bytes(c.n))
}

// replaceFile lets write fill a file that appears under its name only when it is
// whole and on disk. Whatever happens before leaves what was there. A run that is
// killed leaves a part, under a name that no other run writes to.
func replaceFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if err != nil {
		return store.WithHint(err, "is the folder there, and may you write to it?")
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncFolder makes the name last over a power cut, where the system can do that.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

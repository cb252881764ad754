package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
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
			return replaceFile(file, 0o600, func(w io.Writer) error { return a.backup(cmd.Context(), archiver, w) })
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
	a.say("copied %s", prose.Bytes(c.n))
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
	c.bar.Set(c.n, prose.Bytes(c.n))
}

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/signature"
	"github.com/ebbjobs/ebb/store"
)

// vetRow is a kind of job as ebb vet shows it.
type vetRow struct {
	Kind     string     `json:"kind,omitempty"` // absent if it is not a constant
	Ruby     string     `json:"ruby,omitempty"`
	Params   []vetParam `json:"params"`
	Queue    string     `json:"queue,omitempty"` // absent if it is not said, or not as a constant
	Retry    string     `json:"retry,omitempty"`
	File     string     `json:"file"`
	Line     int        `json:"line"`
	Problems []string   `json:"problems,omitempty"`
}

type vetParam struct {
	Name     string `json:"name,omitempty"`
	Type     string `json:"type"`
	Optional bool   `json:"optional,omitempty"`
	Rest     bool   `json:"rest,omitempty"`
}

var vetList = list[vetRow]{
	columns: []column[vetRow]{
		{"ruby", func(r vetRow) any { return cmp.Or(r.Ruby, "?") }, flex},
		{"queue", func(r vetRow) any { return r.Queue }, asIs},
		{"retry", func(r vetRow) any { return r.Retry }, asIs},
		{"at", func(r vetRow) any { return fmt.Sprintf("%s:%d", r.File, r.Line) }, asIs},
	},
	name: func(r vetRow) string { return r.Kind },
	none: "nothing here calls ebb.Define",
}

func newVet(a *app) *cobra.Command {
	var save bool
	var file string
	cmd := &cobra.Command{
		Use:   "vet [PACKAGES]",
		Short: "Print how Ruby calls a Go program's jobs, and find wire changes",
		Long: `Find the kinds of jobs that Go packages define by ebb.Define, by default those of
./..., and print how Ruby enqueues each. It reads the source with the go command
and needs no store.

--save writes how they look on the wire to a file, ebb.wire, that belongs into the
repository. Where there is one, ebb vet compares and exits with 1 if a process of
one version could not run the jobs of the other: an argument that was removed, moved
or has another type, or is required now. New optional arguments at the end are
fine; so is another name, since Sidekiq's arguments count by position.`,
		Example: example(
			"ebb vet                 # the packages of this module",
			"ebb vet ./jobs/... -o json",
			"ebb vet --save          # this is how it is meant",
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			return vet(cmd, a, args, file, save)
		},
	}
	cmd.Flags().BoolVar(&save, "save", false, "write the file instead of comparing with it")
	cmd.Flags().StringVar(&file, "file", "ebb.wire", "the `FILE` to write or to compare with")
	a.listFlags(cmd)
	return cmd
}

func vet(cmd *cobra.Command, a *app, packages []string, file string, save bool) error {
	all := len(packages) == 0
	if all {
		packages = []string{"./..."}
	}
	before, err := readWire(file)
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	kinds, err := signature.Load(cmd.Context(), dir, a.environ, packages...)
	if err != nil {
		return err
	}
	signature.Sort(kinds)
	rows := make([]vetRow, len(kinds))
	problems := 0
	for i := range kinds {
		rows[i] = vetRowOf(&kinds[i])
		for _, p := range kinds[i].Problems {
			a.say("%s:%d: %s: %s", kinds[i].File, kinds[i].Line, cmp.Or(kinds[i].Name, "a kind"), p)
			problems++
		}
	}
	if err := vetList.printAll(a, rows); err != nil {
		return err
	}
	if save {
		if !all {
			kinds = append(kinds, before...) // those of other packages stay
		}
		return saveWire(a, file, kinds)
	}
	broken := 0
	for _, c := range signature.Compare(before, kinds, all) {
		switch {
		case c.Breaks:
			broken++
			a.say("%s %s: %s", console.Bad("wire change:"), c.Kind, c.What)
		case before != nil:
			a.say("fine: %s: %s", c.Kind, c.What)
		}
	}
	switch {
	case broken > 0:
		return code(exitFailed, store.WithHint(fmt.Errorf("%s against %s", prose.Plural(broken, "wire change"), file),
			"new jobs of the old kind need the old form until none waits; if that is so: ebb vet --save"))
	case problems > 0:
		return code(exitFailed, errors.New(prose.Plural(problems, "problem")))
	}
	return nil
}

func vetRowOf(k *signature.Kind) vetRow {
	row := vetRow{Kind: k.Name, Params: make([]vetParam, len(k.Params)), Queue: k.Queue, Retry: k.Retry, File: filepath.ToSlash(k.File), Line: k.Line, Problems: k.Problems}
	if k.Name != "" {
		row.Ruby = k.Ruby()
	}
	for i, p := range k.Params {
		row.Params[i] = vetParam{Name: p.Name, Type: p.Type.String(), Optional: p.Optional, Rest: p.Rest}
	}
	return row
}

// readWire reads what was saved, nil if nothing was.
func readWire(file string) ([]signature.Kind, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	kinds, err := signature.Read(bytes.NewReader(text))
	if err != nil {
		return nil, code(exitUsage, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "signature: ")))
	}
	return kinds, nil
}

func saveWire(a *app, file string, kinds []signature.Kind) error {
	err := replaceFile(file, 0o644, func(w io.Writer) error { return signature.Write(w, kinds) })
	if err == nil {
		a.say("wrote %s: commit it", file)
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// importing is one call of ebb import.
type importing struct {
	workFlags
	require     string
	write       bool
	file        string
	replaceFile bool
}

func newImport(a *app) *cobra.Command {
	var m importing
	cmd := &cobra.Command{
		Use:   "import [SIDEKIQ.YML]",
		Short: "Make an ebb.yml of Sidekiq's settings",
		Long: `Read Sidekiq's settings and print an ebb.yml that says the same: queues with their
weights, concurrency, timeout, capsules, tag, labels, limits of the dead set. Each value
has a comment with the line that it comes from. What means nothing to ebb is told on
standard error.

Without a name the file is config/sidekiq.yml or config/sidekiq.yml.erb, as it is to
Sidekiq. -e chooses the section of an environment. Sidekiq's other flags count over the
file, so that a line of a Procfile can be imported, too: write ebb import where it says
bundle exec sidekiq.

ERB is a program in Ruby, and is not run. A value that it stands in is left out and
told, with its place, and a comment stands in its stead.`,
		Example: example("ebb import config/sidekiq.yml",
			"ebb import -e production --write --force   # replaces ebb.yml",
			"ebb import -c 10 -q critical,2 -q default -t 25   # what a Procfile says"),
		Args: optional("SIDEKIQ.YML"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.run(a, args)
		},
	}
	m.cmd = cmd
	f := cmd.Flags()
	f.StringVarP(&a.flags.config, "config", "C", "", "the same as SIDEKIQ.YML")
	f.StringVarP(&m.environment, "environment", "e", "", "the `SECTION` that counts (default: APP_ENV, RAILS_ENV, RACK_ENV, then development)")
	f.StringArrayVarP(&m.queues, "queue", "q", nil, "these `QUEUE[,WEIGHT]` instead of the file's; repeat it for more")
	m.given = []givenFlag{
		{key: "concurrency", long: "concurrency", short: "c", usage: "so `MANY` jobs at once"},
		{key: "timeout", long: "timeout", short: "t", usage: "`TIME` that jobs have from TERM on"},
		{key: "grace", long: "grace", usage: "`TIME` that the platform leaves between TERM and KILL"},
		{key: "tag", long: "tag", short: "g", usage: "what people call the `APPLICATION`"},
	}
	for i := range m.given {
		g := &m.given[i]
		f.StringVarP(&g.value, g.long, g.short, "", g.usage)
	}
	f.BoolVarP(&m.verbose, "verbose", "v", false, "log more")
	f.StringVarP(&m.require, "require", "r", "", "")
	f.MarkHidden("require")
	f.BoolVar(&m.write, "write", false, "write the file instead of printing it")
	f.StringVar(&m.file, "file", "ebb.yml", "the `FILE` to write")
	f.BoolVar(&m.replaceFile, "force", false, "replace a file that is there")
	f.BoolVar(&a.flags.dryRun, "dry-run", false, "print what --write would write, and change nothing")
	return cmd
}

func (m *importing) run(a *app, args []string) error {
	in := m.input()
	in.Getenv, in.File = a.getenv, a.flags.config
	if len(args) > 0 {
		if in.File != "" {
			return usage("%s and -C %s: only one file is read", args[0], in.File)
		}
		in.File = args[0]
	}
	if in.File == "" {
		in.File = sidekiqFile()
	}
	if in.File == "" && len(in.Flags) == 0 {
		return code(exitUsage, store.WithHint(errors.New("there is no config/sidekiq.yml here"), "name yours: ebb import SIDEKIQ.YML"))
	}
	if err := m.mayWrite(); err != nil {
		return err
	}
	made, err := config.Import(in)
	if err != nil {
		return code(exitUsage, err)
	}
	for _, p := range append(made.Left, made.Notes...) {
		a.say("ebb: %s", p)
	}
	if m.require != "" {
		a.say("ebb: -r means nothing here and is passed over: no Ruby is loaded here")
	}
	if len(made.Left) > 0 {
		a.say("%s of ERB left to you", prose.Plural(len(made.Left), "piece"))
	}
	if !m.write || a.flags.dryRun {
		_, err := a.term.Out.Write(made.Text)
		return err
	}
	if err := replaceFile(m.file, 0o644, func(w io.Writer) error { _, err := w.Write(made.Text); return err }); err != nil {
		return err
	}
	a.say("wrote %s; see it by %s", m.file, console.Code("ebb config -C "+m.file))
	return nil
}

// sidekiqFile is the settings file that Sidekiq would find by itself; "" if there is
// none.
func sidekiqFile() string {
	for _, name := range []string{"config/sidekiq.yml", "config/sidekiq.yml.erb"} {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return ""
}

// mayWrite refuses a file that is there, and one that ebb would read as Sidekiq's.
func (m *importing) mayWrite() error {
	if !m.write {
		if m.cmd.Flags().Changed("file") || m.replaceFile {
			return usage("--file and --force do nothing without --write")
		}
		return nil
	}
	if strings.Contains(filepath.Base(m.file), "sidekiq") {
		return usage("--file %s: by that name it would be read as Sidekiq's settings", m.file)
	}
	if _, err := os.Lstat(m.file); m.replaceFile || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return code(exitRefused, store.WithHint(fmt.Errorf("%s is there already", m.file), "--force replaces it; without --write it is printed"))
}

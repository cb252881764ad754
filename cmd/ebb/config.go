package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/store"
)

func newConfig(a *app) *cobra.Command {
	var flags workFlags
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the settings, and where each comes from",
		Long: `Show every setting with its value and its source: a flag, a variable of the environment,
a line of ebb.yml, what the platform says, or the default, in this order. Credentials are
masked.

All mistakes in the settings are told at once, and end with exit code 64, so that a
pipeline can check an ebb.yml. The flags are those of ebb work: ebb config shows what
ebb work would run with.`,
		Example: example("ebb config", "ebb config -C deploy/ebb.yml   # is this one right?", "ebb config --group heavy -o json", "ebb config keys                # what each setting means"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			s, err := a.settings(flags.input())
			if err != nil {
				return err
			}
			for _, w := range s.Warnings {
				a.say("ebb: %s", w)
			}
			return settingsList.printAll(a, slices.Collect(s.Entries()))
		},
	}
	flags.add(a, cmd)
	a.listFlags(cmd)
	cmd.AddCommand(newConfigKeys(a))
	return cmd
}

// settingRow is one setting as it is.
type settingRow = config.Entry

var settingsList = list[settingRow]{
	columns: []column[settingRow]{
		{"key", func(r settingRow) any { return r.Key }, asIs},
		{"value", func(r settingRow) any { return r.Value }, flex},
		{"source", func(r settingRow) any { return r.Source }, asIs},
	},
	name: func(r settingRow) string { return r.Key },
}

// keyRow is what can be set.
type keyRow struct {
	Key     string `json:"key"`
	Env     string `json:"env,omitempty"`
	Default string `json:"default,omitempty"`
	Meaning string `json:"meaning"`
}

var keysList = list[keyRow]{
	columns: []column[keyRow]{
		{"key", func(r keyRow) any { return r.Key }, asIs},
		{"env", func(r keyRow) any { return r.Env }, wide},
		{"default", func(r keyRow) any { return r.Default }, flex},
		{"meaning", func(r keyRow) any { return r.Meaning }, flex},
	},
	name: func(r keyRow) string { return r.Key },
}

func newConfigKeys(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "keys",
		Short:   "Explain what can be set",
		Example: example("ebb config keys", "ebb config keys -o wide   # with the variables of the environment", "ebb config keys -o jsonl"),
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			var rows []keyRow
			for k := range config.Keys() {
				rows = append(rows, keyRow{k.Name, k.Env, k.Default, k.Meaning})
			}
			return keysList.printAll(a, rows)
		},
	}
	a.listFlags(cmd)
	return cmd
}

// settings finds the settings, of which in holds what flags of one command say.
func (a *app) settings(in config.Input) (*config.Settings, error) {
	in.Getenv, in.File = a.getenv, a.flags.config
	if a.flags.store != "" {
		in.Flags = append(in.Flags, config.Flag{Key: "store", Name: "--store", Values: []string{a.flags.store}})
	}
	s, err := config.Load(in)
	return s, code(exitUsage, err)
}

// workFlags are the flags of a command that runs jobs. Each short one means what it
// does to Sidekiq, so that a line of a Procfile carries over.
type workFlags struct {
	groups, queues []string
	environment    string
	verbose        bool
	given          []givenFlag
	cmd            *cobra.Command
}

// givenFlag is a flag that is a setting with a plain value.
type givenFlag struct {
	key, long, short, usage string
	value                   string
}

func (w *workFlags) add(a *app, cmd *cobra.Command) {
	w.cmd = cmd
	f := cmd.Flags()
	f.StringVarP(&a.flags.config, "config", "C", "", "settings `FILE`, an ebb.yml or a sidekiq.yml (default: EBB_CONFIG, then ebb.yml)")
	f.StringArrayVarP(&w.queues, "queue", "q", nil, "run this `QUEUE[,WEIGHT]`; repeat it for more")
	f.StringArrayVar(&w.groups, "group", nil, "run this `GROUP` of ebb.yml alone; repeat it for more")
	w.given = []givenFlag{
		{key: "concurrency", long: "concurrency", short: "c", usage: "run so `MANY` jobs at once"},
		{key: "grace", long: "grace", usage: "`TIME` that the platform leaves between TERM and KILL"},
		{key: "timeout", long: "timeout", short: "t", usage: "`TIME` that jobs have from TERM on, less than grace"},
		{key: "release", long: "release", usage: "`VERSION` of what runs here"},
		{key: "tag", long: "tag", short: "g", usage: "what people call the `APPLICATION`"},
	}
	for i := range w.given {
		g := &w.given[i]
		f.StringVarP(&g.value, g.long, g.short, "", g.usage)
	}
	f.StringVarP(&w.environment, "environment", "e", "", "`SECTION` of a sidekiq.yml that counts")
	f.BoolVarP(&w.verbose, "verbose", "v", false, "log more")
	cmd.RegisterFlagCompletionFunc("group", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if s, err := a.settings(config.Input{}); err == nil {
			for _, g := range s.Groups {
				names = append(names, g.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	for _, gone := range goneFlags {
		f.StringP(gone.long, gone.short, "", "")
		if gone.long == "daemon" {
			f.Lookup(gone.long).NoOptDefVal = "true"
		}
		f.MarkHidden(gone.long)
	}
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := w.gone(); err != nil || check == nil {
			return err
		}
		return check(cmd, args)
	}
}

// goneFlags are Sidekiq's, of now or once, that have no meaning here.
var goneFlags = []struct{ long, short, why, instead string }{
	{"require", "r", "no Ruby is loaded here", "name a command for each kind of job below handlers in ebb.yml, and leave what is Ruby's to sidekiq, which may run beside"},
	{"daemon", "d", "ebb stays in the foreground", "let systemd, Docker or a Procfile keep it running"},
	{"logfile", "L", "logs go to standard error", "redirect them, as in 2>>ebb.log"},
	{"pidfile", "P", "no file has the PID", "ebb processes ls shows it, and systemd or Docker know it"},
	{"index", "i", "processes have no numbers", "each has a name of its own; --tag adds yours"},
}

// gone refuses a flag that does nothing, rather than to let somebody rely on it.
func (w *workFlags) gone() error {
	for _, g := range goneFlags {
		if w.cmd.Flags().Changed(g.long) {
			return code(exitUsage, store.WithHint(fmt.Errorf("-%s (--%s) means nothing here: %s", g.short, g.long, g.why), "%s", g.instead))
		}
	}
	return nil
}

// input is what the flags say of the settings.
func (w *workFlags) input() config.Input {
	in := config.Input{Environment: w.environment, Groups: w.groups}
	set := func(key, long, short string, values ...string) {
		if w.cmd.Flags().Changed(long) {
			name := "--" + long
			if short != "" {
				name = "-" + short
			}
			in.Flags = append(in.Flags, config.Flag{Key: key, Name: name, Values: values})
		}
	}
	set("queues", "queue", "q", w.queues...)
	for _, g := range w.given {
		set(g.key, g.long, g.short, g.value)
	}
	if w.verbose {
		set("log.level", "verbose", "v", "debug")
	}
	return in
}

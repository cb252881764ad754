package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/store"
)

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
		{key: "poison", long: "poison", usage: "bury a job after so `MANY` crashes as the only suspect of its process, or never"},
		{key: "listen", long: "listen", usage: "`ADDRESS` or port that answers probes, drain hooks and scrapes over HTTP"},
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

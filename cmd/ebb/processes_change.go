package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// toldRow says what a process was told.
type toldRow struct {
	ID      string `json:"id"`
	Order   string `json:"order"`         // quiet, resume, stop
	State   string `json:"state"`         // before
	Through string `json:"through"`       // socket: it has taken it in; store: it takes it with its next beat; none: it was so already
	Now     string `json:"now,omitempty"` // with --wait: its state afterwards, or gone
}

// telling is a command that tells processes something.
type telling struct {
	*app
	verb     store.Verb
	chosen   processFlags
	wait     bool
	timeout  time.Duration
	asks     bool
	obvious  func(state string) bool // there is nothing to tell one in that state
	reached  func(state string) bool // it has done what it was told
	asWanted string                  // what those are that have
}

const gone = "gone" // the state of a process that is not there any more

func (a *app) quieting() *telling {
	return &telling{app: a, verb: store.Quiet, asWanted: "quiet",
		obvious: func(state string) bool { return state == "quiet" || state == "draining" },
		reached: func(state string) bool { return state != lifecycle.Running.String() },
	}
}

func newProcessesQuiet(a *app) *cobra.Command {
	return a.quieting().command(&cobra.Command{
		Use: "quiet [ID…]", Short: "Let processes fetch nothing new",
		Long: `Let processes fetch nothing new. What they run goes on for as long as it takes.

A process on this machine is told through its control socket and has taken it in
when the command returns; others take it from the store with their next beat.`,
		Example: example("ebb processes quiet --all", "ebb processes quiet --release v142 --wait --timeout 1m", "ebb processes quiet host-1:7"),
	})
}

func newProcessesResume(a *app) *cobra.Command {
	t := &telling{app: a, verb: store.Resume, asWanted: "running",
		obvious: func(state string) bool { return state == lifecycle.Running.String() },
		reached: func(state string) bool { return state != lifecycle.Quieted.String() },
	}
	return t.command(&cobra.Command{
		Use: "resume [ID…]", Short: "Let quiet processes fetch again",
		Long: `Let quiet processes fetch again. A stop cannot be taken back, and Ruby's Sidekiq
cannot be resumed: restart it.`,
		Example: example("ebb processes resume --all", "ebb processes resume --release v142", "ebb processes resume host-1:7"),
	})
}

func (a *app) stopping() *telling {
	return &telling{app: a, verb: store.Stop, asWanted: gone, asks: true,
		obvious: func(state string) bool { return state == lifecycle.Draining.String() },
		reached: func(state string) bool { return state == gone },
	}
}

func newProcessesStop(a *app) *cobra.Command {
	return a.stopping().command(&cobra.Command{
		Use: "stop [ID…]", Short: "Let processes hand over and end",
		Long: `Let processes hand over and end, as TERM does: jobs are told, have the grace period
to finish or to save a checkpoint, and go back to their queue otherwise.`,
		Example: example("ebb processes stop --release v142 --yes", "ebb processes stop --all --dry-run", "ebb processes stop host-1:7 --yes --wait"),
	})
}

func (t *telling) command(cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = t.completeProcesses(0)
	t.selectFlags(cmd)
	t.listFlags(cmd)
	t.changeFlags(cmd)
	cmd.Flags().BoolVar(&t.wait, "wait", false, "until they are "+t.asWanted)
	timeoutFlag(cmd, &t.timeout)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := t.writable(); err != nil {
			return err
		}
		s, err := t.openExisting(cmd.Context())
		if err != nil {
			return err
		}
		return t.run(cmd.Context(), s, args)
	}
	return cmd
}

func (t *telling) selectFlags(cmd *cobra.Command) {
	t.chosen.flags(t.app, cmd)
	cmd.Flags().BoolVar(&t.chosen.all, "all", false, "all processes")
}

// targets are the processes that are meant.
func (t *telling) targets(ctx context.Context, s store.Store, args []string) (targets []store.Process, err error) {
	byFlag := t.chosen != processFlags{}
	switch {
	case len(args) > 0 && byFlag:
		return nil, usage("name processes, or choose them by --all, --release and --host, but not both")
	case len(args) == 0 && !byFlag:
		return nil, code(exitUsage, store.WithHint(errors.New("which processes?"), "name them, or choose them by --all, --release or --host; ebb processes ls lists them"))
	}
	processes, err := s.Processes(ctx)
	if err != nil {
		return nil, err
	}
	if !byFlag {
		for _, arg := range args {
			p, err := matchProcess(processes, arg)
			if exitOf(err) == exitNothing && t.verb == store.Stop && t.stopped(ctx, s, arg) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(targets, func(q store.Process) bool { return q.ID == p.ID }) {
				targets = append(targets, p)
			}
		}
		return targets, nil
	}
	// Nobody hears what is told to a process that is gone.
	targets = slices.DeleteFunc(t.chosen.filter(processes), func(p store.Process) bool { return p.Lapsed })
	if len(targets) == 0 {
		return nil, code(exitNothing, store.WithHint(fmt.Errorf("there are no %s to %s", strings.TrimPrefix(t.chosen.words(), "all "), t.verb), "ebb processes ls lists them"))
	}
	return targets, nil
}

// stopped reports whether a process has stopped before, and says so: a hook that
// runs twice asks for no more. A part of an identity is not enough.
func (t *telling) stopped(ctx context.Context, s store.Store, arg string) bool {
	for r, err := range s.Stops(ctx) {
		if err != nil {
			return false
		}
		if arg == string(r.ID) || arg == fleet.Short(r.ID) {
			t.say("%s has stopped already, %s", fleet.Short(r.ID), prose.When(r.Ended, t.now()))
			return true
		}
	}
	return false
}

func (t *telling) run(ctx context.Context, s store.Store, args []string) error {
	targets, err := t.targets(ctx, s, args)
	if err != nil || len(targets) == 0 {
		return err
	}
	if ok, err := t.settled(ctx, targets); !ok {
		return err
	}
	rows, failed, err := t.tellAll(ctx, s, targets)
	if err != nil {
		return err
	}
	var late error
	if t.wait {
		late = t.await(ctx, s, rows)
	}
	if err := t.toldList().printAll(t.app, rows); err != nil {
		return err
	}
	if len(failed) > 0 {
		return code(exitSignal, errors.Join(failed...))
	}
	return late
}

// tellAll passes the order on to each, and keeps in the audit trail that it was given.
// Those that could not be told are in failed.
func (t *telling) tellAll(ctx context.Context, s store.Store, targets []store.Process) (rows []toldRow, failed []error, err error) {
	err = t.noting(ctx, s, store.Change{Verb: string(t.verb), What: t.what(targets)}, func() (int64, error) {
		for _, p := range targets {
			through, err := t.tell(ctx, s, p)
			switch {
			case err == nil:
				rows = append(rows, toldRow{ID: string(p.ID), Order: string(t.verb), State: fleet.State(&p), Through: through})
			case errors.Is(err, store.ErrUnreachable) || ctx.Err() != nil:
				return 0, err
			default:
				failed = append(failed, err)
			}
		}
		return 0, nil
	})
	return rows, failed, err
}

// settled asks where a person must be asked.
func (t *telling) settled(ctx context.Context, targets []store.Process) (bool, error) {
	if !t.asks && !t.flags.dryRun {
		return true, nil
	}
	return t.confirm(ctx, t.will(targets))
}

// will says what is about to be done.
func (t *telling) will(targets []store.Process) string {
	busy := 0
	for _, p := range targets {
		busy += len(p.Busy)
	}
	will := fmt.Sprintf("%s %s", t.verb, t.what(targets))
	if t.asks {
		will += fmt.Sprintf(", with %s running", prose.Plural(busy, "job"))
	}
	return will
}

// what names the processes, for a question and the audit trail.
func (t *telling) what(targets []store.Process) string {
	var names []string
	for _, p := range targets {
		names = append(names, fleet.Short(p.ID))
	}
	return fmt.Sprintf("%s: %s", prose.Plural(len(targets), "process"), some(names))
}

// tell passes the order on, and says which way it went.
func (t *telling) tell(ctx context.Context, s store.Store, p store.Process) (through string, err error) {
	if t.obvious(fleet.State(&p)) {
		return "none", nil
	}
	if p.Lapsed {
		if t.verb == store.Stop {
			return "none", nil
		}
		return "", store.WithHint(fmt.Errorf("%s is gone: its lease has ended", fleet.Short(p.ID)), "any living process gives back what it held; without one, ebb rescue does")
	}
	if p.Lang == "ruby" && t.verb == store.Resume {
		return "", store.WithHint(fmt.Errorf("%s is Ruby's: what is quiet there stays quiet", fleet.Short(p.ID)), "stop it, and start another")
	}
	if c := dialSocket(ctx, p); c != nil {
		defer c.Close()
		var refused *control.Refused
		switch err := t.throughSocket(ctx, c); {
		case errors.As(err, &refused):
			return "", fmt.Errorf("%s refused: %s", fleet.Short(p.ID), refused.Reason)
		case err == nil:
			return "socket", nil
		}
		// It ended on the way, or does not answer: repeating the order is harmless.
	}
	err = s.Command(ctx, p.ID, store.Command{Verb: t.verb})
	if errors.Is(err, store.ErrUnknownProcess) && t.verb == store.Stop {
		return "none", nil // it has left meanwhile
	}
	return "store", err
}

func (t *telling) throughSocket(ctx context.Context, c *control.Client) (err error) {
	ctx, end := context.WithTimeout(ctx, socketPatience)
	defer end()
	switch t.verb {
	case store.Quiet:
		_, err = c.Quiet(ctx, control.Notice{})
	case store.Resume:
		_, err = c.Resume(ctx)
	default:
		_, err = c.Stop(ctx, control.Notice{})
	}
	return err
}

// await waits until all have done what they were told, and notes how they are.
func (t *telling) await(ctx context.Context, s store.Store, rows []toldRow) error {
	bar := t.term.Progress(fmt.Sprintf("waiting for %s to be %s", prose.Plural(len(rows), "process"), t.asWanted), int64(len(rows)))
	defer bar.End()
	var missing []string
	err := poll(ctx, t.timeout, func(ctx context.Context) (bool, error) {
		processes, err := s.Processes(ctx)
		if err != nil {
			return false, err
		}
		missing = nil
		for i := range rows {
			state := gone
			rows[i].Now = gone
			j := slices.IndexFunc(processes, func(p store.Process) bool { return string(p.ID) == rows[i].ID })
			if j >= 0 {
				rows[i].Now = fleet.State(&processes[j])
			}
			// A frozen one is in the state that it was frozen in, and one that has lapsed is
			// not there any more either.
			if j >= 0 && !processes[j].Lapsed {
				state = processes[j].State
			}
			if !t.reached(state) {
				missing = append(missing, fleet.Short(store.Identity(rows[i].ID))+" is "+rows[i].Now)
			}
		}
		bar.Set(int64(len(rows)-len(missing)), some(missing))
		return len(missing) == 0, nil
	})
	if errors.Is(err, errTimeUp) {
		return code(exitDeadline, store.WithHint(fmt.Errorf("after %s %s", prose.Span(t.timeout), some(missing)), "what was told still counts; ebb processes ls shows how they are"))
	}
	return err
}

func (t *telling) toldList() *list[toldRow] {
	through := map[string]string{"socket": "told", "store": "takes it with its next beat", "none": "was so already"}
	columns := []column[toldRow]{
		{"process", func(r toldRow) any { return fleet.Short(store.Identity(r.ID)) }, flex},
		{"order", func(r toldRow) any { return r.Order }, asIs},
		{"state", func(r toldRow) any { return t.state(r.State) }, asIs},
		{"through", func(r toldRow) any {
			if t.term.OutWatched {
				return through[r.Through]
			}
			return r.Through
		}, asIs},
	}
	if t.wait {
		columns = append(columns, column[toldRow]{"now", func(r toldRow) any { return t.state(r.Now) }, asIs})
	}
	return &list[toldRow]{columns: columns, name: func(r toldRow) string { return r.ID }}
}

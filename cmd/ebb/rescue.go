package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// rescuedRow is a job that was given back.
type rescuedRow struct {
	JID   string `json:"jid"`
	Kind  string `json:"kind"`
	Queue string `json:"queue"`
	From  string `json:"from"`  // who held it
	Cause string `json:"cause"` // why the holder counts as gone
	Fate  string `json:"fate"`  // rescued, delayed, buried
}

// rescuing is one call of ebb rescue.
type rescuing struct {
	*app
	s     store.Store
	judge rescue.Judge
	rows  []rescuedRow
}

func newRescue(a *app) *cobra.Command {
	var identity, boot, diedOf string
	cmd := &cobra.Command{
		Use: "rescue", Short: "Give back what lost processes hold",
		Long: `Give back to their queues the jobs of processes that are gone.

Every living process does that by itself, within seconds. This is for when none
lives: on Redis it first watches for the time of a lease that the lost ones do not
come back, as a living process would. What is held in the name of a process that
nobody knows, such as an edit by hand leaves, it gives back in the same way.

With --identity it gives back what one process holds, without waiting for its
lease: you are the witness that it has ended. If it has not, its jobs run twice. On
SQLite a process that lives is known to, and refused.

With --boot it does so for all that one init has started, which it told them by
EBB_BOOT: their identities end in that word. ebb init calls it so when its child has
died. Those that live keep what they hold, and are named.

With --died-of you also say how: oom, for want of memory; a signal such as SIGSEGV;
or exit:CODE. A job whose processes have crashed before is buried at once where its
process died for want of memory or of a signal that nobody sends, and it was the
only such job there. Who died of TERM was told to stop: that is no job's fault.
Where several processes of one boot held jobs, nobody knows whose end it was, and what
a job may have brought about is laid to none.`,
		Example: example("ebb rescue --dry-run", "ebb rescue --identity host-1:7 --died-of oom --yes", "ebb rescue --yes -o jsonl   # exit 3 when there is nothing to give back"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			died, err := death(cmp.Or(identity, boot), diedOf)
			if err == nil {
				err = checkBoot(boot, identity)
			}
			if err != nil {
				return err
			}
			if err := a.writable(); err != nil {
				return err
			}
			settings, err := a.settings(config.Input{})
			if err != nil {
				return err
			}
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			r := &rescuing{app: a, s: s, judge: rescue.Judge{By: store.NewIdentity(), Poison: int(settings.Poison)}}
			switch {
			case identity != "":
				err = r.witnessed(cmd.Context(), identity, died)
			case boot != "":
				err = r.bootEnded(cmd.Context(), boot, died)
			default:
				err = r.lapsed(cmd.Context())
			}
			// What was given back is said also where something else went wrong.
			if len(r.rows) == 0 && (err != nil || a.flags.dryRun) {
				return err
			}
			return errors.Join(r.list().printAll(a, r.rows), err)
		},
	}
	a.listFlags(cmd)
	a.changeFlags(cmd)
	cmd.Flags().StringVar(&identity, "identity", "", "what the process `ID` holds, whose end you have seen")
	cmd.Flags().StringVar(&boot, "boot", "", "what all processes hold that were started with this `WORD` in EBB_BOOT, whose end you have seen")
	cmd.Flags().StringVar(&diedOf, "died-of", "", "the `CAUSE` of the end that you have seen: oom, a signal, or exit:CODE")
	cmd.RegisterFlagCompletionFunc("identity", a.completeProcesses(0))
	cmd.RegisterFlagCompletionFunc("died-of", cobra.FixedCompletions(
		[]string{"oom", "SIGABRT", "SIGBUS", "SIGKILL", "SIGSEGV", "SIGTERM", "exit:1"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// death reads what a witness says that a process died of; nil if that is nothing.
func death(whose, text string) (*rescue.Death, error) {
	if text == "" {
		return nil, nil
	}
	if whose == "" {
		return nil, code(exitUsage, store.WithHint(errors.New("--died-of says how one process ended, and none is named"), "add --identity ID or --boot WORD"))
	}
	d, err := rescue.ParseDeath(text)
	return &d, code(exitUsage, err)
}

func (r *rescuing) list() *list[rescuedRow] {
	return &list[rescuedRow]{
		columns: []column[rescuedRow]{
			{"jid", func(j rescuedRow) any { return j.JID }, asIs},
			{"kind", func(j rescuedRow) any { return j.Kind }, flex},
			{"queue", func(j rescuedRow) any { return j.Queue }, asIs},
			{"from", func(j rescuedRow) any { return fleet.Short(store.Identity(j.From)) }, flex},
			{"cause", func(j rescuedRow) any { return j.Cause }, asIs},
			{"fate", func(j rescuedRow) any { return j.Fate }, asIs},
		},
		name: func(j rescuedRow) string { return j.JID },
	}
}

// nothing is the end of a rescue that has nothing to give back.
func nothing(what string) error {
	return code(exitNothing, store.WithHint(errors.New(what), "ebb processes ls shows who holds what"))
}

// witnessed gives back what a process holds that a person has seen end.
func (r *rescuing) witnessed(ctx context.Context, identity string, died *rescue.Death) error {
	processes, err := r.s.Processes(ctx)
	if err != nil {
		return err
	}
	p, err := matchProcess(processes, identity)
	if err != nil {
		return err
	}
	switch {
	case p.Lang == "ruby" && !r.keeps(ctx, p.ID):
		return nothing(fleet.Short(p.ID) + " is Ruby's and holds nothing in ebb's keeping")
	case r.lives(ctx, p):
		return code(exitRefused, store.WithHint(fmt.Errorf("%s lives: its jobs would run twice", fleet.Short(p.ID)), "end it first: ebb processes stop %s", fleet.Short(p.ID)))
	}
	will := fmt.Sprintf("give back %s of %s, last heard of %s", prose.Plural(p.Holds, "job"), p.ID, prose.When(p.Beat, r.now()))
	if !p.Lapsed {
		will += "\nIts lease has not ended. If it still runs, its jobs run twice: are you sure that it does not?"
	}
	if ok, err := r.confirm(ctx, will); !ok {
		return err
	}
	if died != nil {
		r.judge.Deaths = map[store.Identity]rescue.Death{p.ID: *died}
	}
	return r.giveBack(ctx, "process "+string(p.ID), func(ctx context.Context) error {
		return r.rest(ctx, store.Lost{ID: p.ID}, p.ID)
	})
}

// keeps reports whether the store keeps what a process holds; of Ruby's it does with
// ebb's fetch only.
func (r *rescuing) keeps(ctx context.Context, id store.Identity) bool {
	lost, err := r.s.Orphans(ctx, mostLost, id)
	return err == nil && slices.ContainsFunc(lost, func(l store.Lost) bool { return l.ID == id })
}

// lives reports whether there is proof that a process runs. On Redis there is none
// but its own word, on its own machine.
func (r *rescuing) lives(ctx context.Context, p store.Process) bool {
	if r.s.Describe().LeaseIsLock {
		return !p.Lapsed
	}
	c := dialSocket(ctx, p)
	if c != nil {
		c.Close()
	}
	return c != nil
}

// settle is the length of a lease that nobody has configured. Whoever has not come
// back for so long, while the store answered, is taken for gone by living processes
// as well.
const settle = 12 * time.Second

// lapsed gives back what all those hold whose lease has ended.
func (r *rescuing) lapsed(ctx context.Context) error {
	processes, err := r.s.Processes(ctx)
	if err != nil {
		return err
	}
	var names []string
	jobs := int64(0)
	for _, p := range processes {
		if p.Lapsed {
			names, jobs = append(names, fleet.Short(p.ID)), jobs+p.Holds
		}
	}
	unknown, more, err := r.unknown(ctx)
	if err != nil {
		return err
	}
	for _, id := range unknown {
		names = append(names, fleet.Short(id))
	}
	jobs += more
	if len(names) == 0 {
		return nothing("no process is lost")
	}
	ok, err := r.confirm(ctx, fmt.Sprintf("give back %s of %s: %s", prose.Plural(jobs, "job"), prose.Plural(len(names), "lost process"), some(names)))
	if !ok {
		return err
	}
	if err := r.expose(ctx); err != nil {
		return err
	}
	lost, err := r.settled(ctx)
	if err != nil {
		return err
	}
	r.look(ctx, lost)
	return r.giveBack(ctx, "lost processes: "+strings.Join(names, ", "), func(ctx context.Context) error {
		for _, gone := range lost {
			moved, err := r.salvage(ctx, gone)
			if err == nil && moved > 0 && gone.More {
				err = r.rest(ctx, gone)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// mostLost is how many lost processes are looked at in one go.
const mostLost = 1000

// settled returns those that are lost for sure: by their lock, or because they stay
// lost while the store answers for as long as a lease lasts.
func (r *rescuing) settled(ctx context.Context) ([]store.Lost, error) {
	lost, err := r.s.Orphans(ctx, mostLost)
	if err != nil || len(lost) == 0 || r.s.Describe().LeaseIsLock {
		return lost, err
	}
	bar := r.term.Progress("watching whether they come back", int64(settle/time.Second))
	defer bar.End()
	for began := time.Now(); time.Since(began) < settle; {
		bar.Set(int64(time.Since(began)/time.Second), "")
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
		now, err := r.s.Orphans(ctx, mostLost)
		if err != nil {
			return nil, err
		}
		lost = slices.DeleteFunc(lost, func(l store.Lost) bool {
			return !slices.ContainsFunc(now, func(n store.Lost) bool { return n.ID == l.ID && n.Seen == l.Seen })
		})
	}
	return lost, nil
}

// giveBack is the change itself, with its entry in the audit trail and its last word.
func (r *rescuing) giveBack(ctx context.Context, what string, change func(context.Context) error) error {
	err := r.noting(ctx, r.s, store.Change{Verb: "rescue", What: what}, func() (int64, error) {
		err := change(ctx)
		return int64(len(r.rows)), err
	})
	if err == nil && len(r.rows) == 0 {
		return nothing("there was nothing to give back: others did, or nothing was held")
	}
	if len(r.rows) > 0 {
		r.say("%s", r.done())
	}
	return err
}

// done says what became of the jobs.
func (r *rescuing) done() string {
	n := map[string]int{}
	for _, row := range r.rows {
		n[row.Fate]++
	}
	var words strings.Builder
	words.WriteString(prose.Plural(n["rescued"], "job") + " given back to the front of the queue")
	for _, fate := range []string{"delayed", "buried"} {
		if n[fate] > 0 {
			words.WriteString(fmt.Sprintf(", %d %s", n[fate], fate))
		}
	}
	return words.String()
}

// rest gives back what else a process holds, unless it has come to life since it was
// seen. Those in dead are known to be.
func (r *rescuing) rest(ctx context.Context, gone store.Lost, dead ...store.Identity) error {
	for {
		lost, err := r.s.Orphans(ctx, mostLost, dead...)
		if err != nil {
			return err
		}
		r.look(ctx, lost)
		i := slices.IndexFunc(lost, func(l store.Lost) bool { return l.ID == gone.ID && (gone.Seen == "" || l.Seen == gone.Seen) })
		if i < 0 {
			return nil
		}
		if moved, err := r.salvage(ctx, lost[i]); err != nil || moved == 0 || !lost[i].More {
			return err
		}
	}
}

// look learns of earlier crashes. Nothing is held up where it cannot: then they do not
// count.
func (r *rescuing) look(ctx context.Context, lost []store.Lost) {
	if err := r.judge.Read(ctx, r.s.Stops, lost); err != nil {
		r.say("jobs are given back without a look at earlier crashes: %v", err)
	}
}

// salvage gives back what one lost process held, at most a batch of it.
func (r *rescuing) salvage(ctx context.Context, gone store.Lost) (moved int, err error) {
	s := r.judge.Salvage(gone)
	if moved, err = r.s.Rescue(ctx, s); err != nil {
		return 0, err
	}
	if moved < len(s.Jobs) {
		r.say("%d of %d jobs of %s had moved on", len(s.Jobs)-moved, len(s.Jobs), fleet.Short(gone.ID))
	}
	if moved == 0 {
		return 0, nil
	}
	for i, held := range gone.Jobs {
		fate := s.Report.Jobs[i]
		row := rescuedRow{fate.JID, fate.Kind, fate.Queue, string(gone.ID), string(gone.Cause), fate.Fate}
		if _, err := wire.Parse(held.Payload); err != nil {
			row.Kind = "(cannot be read)"
		}
		r.rows = append(r.rows, row)
	}
	return moved, nil
}

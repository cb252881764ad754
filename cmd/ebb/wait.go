package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// condition is what somebody waits for.
type condition struct {
	words string
	// look reports how much is in the way still, and in words what.
	look func(context.Context, store.Store) (left int64, what string, err error)
}

func newWait(a *app) *cobra.Command {
	var text string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait --for CONDITION", Short: "Wait until something is so",
		Long: `Wait until something is so. The conditions:

  idle               nothing waits in a queue that is not paused, and nothing runs
  queue NAME empty   nothing waits in that queue; jobs from it may run still
  job JID done       the job is nowhere any more: it has ended, or was deleted

Exit 0 when it is so, 2 when the time is over and it is not. Waiting for a job that
is in the dead set fails at once: it will not be done by itself.`,
		Example: example("ebb wait --for 'queue reports empty'", "ebb wait --for 'job 0199aa00bb00cc00dd009999 done'", "ebb wait --for idle --timeout 1s   # exit 2 while something waits or runs"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := parseCondition(text)
			if err != nil {
				return err
			}
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			return a.waitFor(cmd.Context(), s, c, timeout)
		},
	}
	cmd.Flags().StringVar(&text, "for", "", "`CONDITION`: idle, 'queue NAME empty' or 'job JID done'")
	timeoutFlag(cmd, &timeout)
	cmd.RegisterFlagCompletionFunc("for", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"idle", "queue ", "job "}, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// waitFor waits for a condition, and shows what is in its way.
func (a *app) waitFor(ctx context.Context, s store.Store, c condition, timeout time.Duration) error {
	var bar *console.Progress
	var first int64
	var what string
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) {
		left, now, err := c.look(ctx, s)
		if err != nil {
			return false, err
		}
		what = now
		if bar == nil {
			first = left
			bar = a.term.Progress("waiting for "+c.words, left)
		}
		bar.Set(max(0, first-left), what)
		return left == 0, nil
	})
	if bar != nil {
		bar.End()
	}
	if errors.Is(err, errTimeUp) {
		return code(exitDeadline, store.WithHint(fmt.Errorf("after %s it is not so: %s", prose.Span(timeout), what), "give it more time by --timeout"))
	}
	return err
}

// parseCondition reads what is waited for.
func parseCondition(text string) (condition, error) {
	words := strings.Fields(text)
	is := func(n, i int, word string) bool { return len(words) == n && strings.EqualFold(words[i], word) }
	switch {
	case is(1, 0, "idle"):
		return condition{"idle", lookIdle}, nil
	case is(3, 0, "queue") && is(3, 2, "empty"):
		return condition{"queue " + words[1] + " to be empty", lookEmpty(words[1])}, nil
	case is(3, 0, "job") && is(3, 2, "done"):
		return condition{"job " + words[1] + " to be done", lookDone(words[1])}, nil
	case len(words) == 0:
		return condition{}, code(exitUsage, store.WithHint(errors.New("wait for what?"), "--for idle, --for 'queue NAME empty' or --for 'job JID done'"))
	}
	forms := map[string]string{"idle": "idle", "queue": "queue NAME empty", "job": "job JID done"}
	name := "NAME"
	if len(words) > 1 {
		name = words[1]
	}
	hint := "it is idle, 'queue NAME empty' or 'job JID done'"
	if form, ok := forms[nearest.To(strings.ToLower(words[0]), []string{"idle", "queue", "job"})]; ok {
		hint = "did you mean '" + strings.NewReplacer("NAME", name, "JID", name).Replace(form) + "'?"
	}
	return condition{}, code(exitUsage, store.WithHint(fmt.Errorf("%q is no condition to wait for", text), "%s", hint))
}

// lookIdle counts what waits where somebody may take it, and what runs. A job that
// moves between the two readings is in one of them: what is held is read last, and
// what went back since shows in the second look at the queues.
func lookIdle(ctx context.Context, s store.Store) (left int64, what string, err error) {
	waiting, err := countWaiting(ctx, s)
	if err != nil {
		return 0, "", err
	}
	processes, err := s.Processes(ctx)
	if err != nil {
		return 0, "", err
	}
	held := int64(0)
	for _, p := range processes {
		held += p.Holds
	}
	if waiting+held == 0 {
		if waiting, err = countWaiting(ctx, s); err != nil {
			return 0, "", err
		}
	}
	return waiting + held, fmt.Sprintf("%s waiting, %s running", prose.Count(waiting), prose.Count(held)), nil
}

// countWaiting counts what waits in queues that are not paused.
func countWaiting(ctx context.Context, s store.Store) (n int64, err error) {
	queues, err := s.Queues(ctx)
	for _, q := range queues {
		if !q.Paused {
			n += q.Waiting
		}
	}
	return n, err
}

func lookEmpty(name string) func(context.Context, store.Store) (int64, string, error) {
	return func(ctx context.Context, s store.Store) (int64, string, error) {
		queues, err := s.Queues(ctx)
		for _, q := range queues {
			if q.Name == name {
				return q.Waiting, fmt.Sprintf("%s in %s", prose.Plural(q.Waiting, "job"), name), err
			}
		}
		return 0, "", err
	}
}

// lookDone looks for a job wherever one can be, twice before it says that it is
// nowhere: it may have moved to where the first look had been already.
func lookDone(jid string) func(context.Context, store.Store) (int64, string, error) {
	return func(ctx context.Context, s store.Store) (int64, string, error) {
		for range 2 {
			entry, found, err := whereIs(ctx, s, jid, "default")
			switch {
			case err != nil:
				return 0, "", err
			case found && entry.Place == store.Dead:
				why := ""
				if job, err := wire.Parse(entry.Payload); err == nil && job.ErrorClass != "" {
					why = ": " + prose.Plain(job.ErrorClass+": "+job.ErrorMessage)
				}
				return 0, "", code(exitFailed, store.WithHint(fmt.Errorf("job %s is in the dead set%s", jid, why), "ebb jobs retry jid:%s gives it another try", jid))
			case found && entry.Place == store.Keeping:
				return 1, "it runs on " + fleet.Short(entry.Holder), nil
			case found:
				return 1, "it is " + entry.Place.String() + " in " + entry.Queue, nil
			}
		}
		return 0, "", nil
	}
}

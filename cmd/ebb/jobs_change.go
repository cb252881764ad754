package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/bulk"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// jobsChange is what a command that changes jobs is told.
type jobsChange struct {
	selection
	bulkFlags
	verb bulk.Verb
	at   string
	in   time.Duration
}

// changes are the commands that change jobs.
var changes = map[bulk.Verb]struct {
	short, long string
	example     []string
}{
	bulk.Retry: {"Send jobs to their queues now", `Send jobs that wait for another try, or for their time, or are dead, to the back of
their queues now. One that failed gets a try back, as with Sidekiq.`,
		[]string{"ebb jobs retry 0010 --yes", "ebb jobs retry 'kind:InvoiceJob error:CardError' --dry-run", "ebb jobs retry --state dead --all --rate 100 --yes"}},
	bulk.Reschedule: {"Let jobs run at another time", `Let jobs run at another time: what waits in a queue leaves it until then, and what is
dead lives again.`,
		[]string{"ebb jobs reschedule 0007 --in 10m --yes", "ebb jobs reschedule kind:ReportJob --at 2030-01-31T22:00:00Z --dry-run", "ebb jobs reschedule --state retry --all --in 1h --yes"}},
	bulk.Bury: {"Put jobs into the dead set", `Put jobs into the dead set, where nothing runs them and people can look at them. It
keeps 10,000 jobs for half a year; the oldest go first.`,
		[]string{"ebb jobs bury 0004 --yes", "ebb jobs bury 'error:Timeout try>3' --dry-run", "ebb jobs bury --state retry kind:InvoiceJob --yes"}},
	bulk.Delete: {"Delete jobs", `Delete jobs. Their payloads are kept for ten minutes, so that ebb undo can bring them
back to the byte, unless that would be more than 64 MiB: then it is said before.`,
		[]string{"ebb jobs delete 0012 --yes", "ebb jobs delete 'state:dead error:ParseError' --dry-run", "ebb jobs delete --queue images --limit 1 --all --yes"}},
}

func newJobsChange(a *app, verb bulk.Verb) *cobra.Command {
	c := &jobsChange{verb: verb}
	words := changes[verb]
	cmd := &cobra.Command{
		Use: string(verb) + " (JID… | QUERY | --all)", Short: words.short,
		Long: words.long + `

Name jobs by their jids, or the last digits of them, or by a query (ebb help queries),
or take --all. Jobs that run are left alone. How many there are is said, and confirmed,
before anything changes; only these are changed, and ^C stops between two batches.`,
		Example: example(words.example...),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), a, args)
		},
	}
	cmd.ValidArgsFunction = a.completeJobs(0, jidOf)
	c.selection.flags(a, cmd)
	c.bulkFlags.flags(a, cmd)
	cmd.Flags().BoolVar(&c.all, "all", false, "all jobs, or all that --state and --queue leave")
	if verb == bulk.Reschedule {
		cmd.Flags().StringVar(&c.at, "at", "", "`WHEN` they run: RFC 3339, a day, an hour of today")
		cmd.Flags().DurationVar(&c.in, "in", 0, "how long from now they run")
		cmd.MarkFlagsMutuallyExclusive("at", "in")
	}
	return cmd
}

func (c *jobsChange) run(ctx context.Context, a *app, args []string) error {
	if err := a.writable(); err != nil {
		return err
	}
	if c.resume != "" {
		if len(args) > 0 || c.all {
			return usage("--resume goes on with what was asked for then, and takes no other jobs")
		}
		return a.resumeBulk(ctx, c.verb, &c.bulkFlags)
	}
	q, jids, err := c.jobs(a, args)
	if err != nil {
		return err
	}
	o := bulk.Order{Verb: c.verb, Query: q, Limit: c.limit, By: a.who()}
	if c.verb == bulk.Reschedule {
		if o.At, err = c.when(a); err != nil {
			return err
		}
	}
	s, err := a.openExisting(ctx)
	if err != nil {
		return err
	}
	c.words = []string{"--all"}
	if text := q.String(); text != "" {
		c.words = []string{text}
	}
	if c.verb == bulk.Reschedule {
		c.words = append(c.words, "--at", o.At.UTC().Format(time.RFC3339Nano))
	}
	return a.changeJobs(ctx, s, o, &c.bulkFlags, jids)
}

// jobs are those that were named; jids how many, if they were named one by one.
func (c *jobsChange) jobs(a *app, args []string) (q *query.Query, jids int, err error) {
	switch list, ok := jidsOf(args); {
	case len(args) == 0 && !c.all:
		err := fmt.Errorf("ebb jobs %s: which jobs?", c.verb)
		return nil, 0, code(exitUsage, store.WithHint(err, "name jids, give a query, or add --all"))
	case len(args) > 0 && c.all:
		return nil, 0, usage("either --all or some jobs, not both")
	case ok:
		q, err = c.within(query.ForJIDs(list...))
		return q, len(list), err
	}
	q, err = c.query(a, strings.Join(args, " "))
	return q, 0, err
}

// when is the moment that --at or --in names.
func (c *jobsChange) when(a *app) (time.Time, error) {
	switch {
	case c.at != "":
		return a.moment("at", c.at)
	case c.in > 0:
		return a.now().Add(c.in), nil
	}
	return time.Time{}, code(exitUsage, store.WithHint(errors.New("ebb jobs reschedule: to when?"), "add --in 10m or --at 2030-01-31T22:00:00Z"))
}

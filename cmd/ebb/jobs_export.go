package main

import (
	"bufio"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/export"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

func newJobsExport(a *app) *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use: "export [QUERY]", Short: "Write jobs as JSON lines",
		Long: `Write the jobs that match a query as JSON, one in a line, to standard output: state,
queue, for those that wait for their time or are dead at, and payload, which is the
job's very bytes. A payload that is not JSON in one line stands in payload_base64.

ebb enqueue --from - reads it. Jobs that move meanwhile may be missed or come twice.`,
		Example: example("ebb jobs export state:dead > dead.jsonl", "ebb jobs export --queue images", "ebb jobs export | ebb enqueue --from - --store sqlite:copy.db"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := sel.query(a, strings.Join(args, " "))
			if err != nil {
				return err
			}
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			return a.export(cmd.Context(), s, q)
		},
	}
	sel.flags(a, cmd)
	return cmd
}

// export writes what q matches, one job in memory at a time.
func (a *app) export(ctx context.Context, s store.Store, q *query.Query) error {
	var search query.Search
	var progress *console.Progress
	if !a.term.OutWatched { // or the lines would run into each other
		progress = a.searching(&search)
		defer progress.End()
	}
	out := bufio.NewWriterSize(a.term.Out, 64<<10)
	n := int64(0)
	var line []byte
	for e, err := range q.Find(ctx, s, search) {
		if err != nil {
			return err
		}
		r := export.Record{State: query.StateOf(e.Place), Queue: e.Queue, At: e.At, Payload: e.Payload}
		line = r.Append(line[:0])
		if _, err := out.Write(line); err != nil {
			return err
		}
		n++
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if progress != nil {
		progress.End()
	}
	if a.term.ErrWatched {
		a.say("%s exported", prose.Plural(n, "job"))
	}
	return nil
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// selection is what commands are told of which jobs they are about.
type selection struct {
	states []string
	queue  string
	all    bool
}

func (s *selection) flags(a *app, cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&s.states, "state", nil, "only jobs in these `STATES`: "+strings.Join(query.States(), ", "))
	cmd.Flags().StringVar(&s.queue, "queue", "", "only jobs of this `QUEUE`")
	cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(query.States(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("queue", a.completeQueues(0))
}

// query is what the flags and a text select.
func (s *selection) query(a *app, text string) (*query.Query, error) {
	q, err := query.Parse(text, a.now())
	if err != nil {
		return nil, code(exitUsage, err)
	}
	return s.within(q)
}

func (s *selection) within(q *query.Query) (*query.Query, error) {
	if s.queue != "" {
		q = q.And(query.InQueue(s.queue))
	}
	var places []store.Place
	for _, state := range s.states {
		place, ok := query.PlaceOf(state)
		if !ok {
			return nil, code(exitUsage, query.UnknownState(state))
		}
		places = append(places, place)
	}
	if places != nil {
		q = q.And(query.InPlaces(places...))
	}
	return q, nil
}

// jidsOf takes arguments for jids, or their ends, if they all look so: hex digits,
// one of them a number, with the … that tables put before them or without.
func jidsOf(args []string) (jids []string, ok bool) {
	for _, arg := range args {
		arg = strings.ToLower(strings.TrimPrefix(arg, "…"))
		hex := strings.Trim(arg, "0123456789abcdef") == ""
		if len(arg) < 4 || len(arg) > 24 || !hex || !strings.ContainsAny(arg, "0123456789") {
			return nil, false
		}
		jids = append(jids, arg)
	}
	slices.Sort(jids)
	return slices.Compact(jids), len(jids) > 0
}

// quoted is text as a shell takes it for one argument.
func quoted(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:./-_=,@") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// searching makes a search show how far it is, where a person watches.
func (a *app) searching(search *query.Search) *console.Progress {
	progress := a.term.Progress("searching", 0)
	if a.term.ErrWatched {
		search.Looked = func(n, of int64) {
			note := ""
			if of > 0 {
				note = fmt.Sprintf("%d %%", 100*n/of)
			}
			progress.Set(n, note)
		}
	}
	return progress
}

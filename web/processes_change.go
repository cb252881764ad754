package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// order is what a process was told and has not said yet that it has done.
type order struct {
	Verb store.Verb
	By   string
	At   time.Time
}

// Wanted is the state that the process was told to come into.
func (o order) Wanted() string {
	return map[store.Verb]string{store.Quiet: "go quiet", store.Resume: "resume", store.Stop: "stop"}[o.Verb]
}

// told is what the audit trail keeps of an order beside its words: who they were.
type told struct {
	Processes []store.Identity `json:"processes"`
}

// orderAge is for how long an order counts as on its way. A process takes it with its
// next beat; one that has not done so by then is told once more or not at all.
const orderAge = 10 * time.Minute

// orders are those of the last minutes, the latest first.
type orders []store.Change

func (ui *UI) orders(ctx context.Context, now time.Time) (all orders, err error) {
	for c, err := range ui.store.Changes(ctx) {
		if err != nil {
			return nil, err
		}
		if now.Sub(c.Began) > orderAge || len(all) == rows {
			break
		}
		if verb := store.Verb(c.Verb); verb == store.Quiet || verb == store.Resume || verb == store.Stop {
			all = append(all, c)
		}
	}
	return all, nil
}

// of is the order that a process has not followed yet; nil if there is none.
func (all orders) of(p *store.Process) *order {
	for _, c := range all {
		var whom told
		_ = json.Unmarshal(c.Rest, &whom) // a command leaves none, and words that name one process
		if !slices.Contains(whom.Processes, p.ID) && c.What != "1 process: "+fleet.Short(p.ID) || c.Began.Before(p.Started) {
			continue
		}
		if p.Lapsed || followed(store.Verb(c.Verb), p.State) {
			return nil
		}
		return &order{store.Verb(c.Verb), c.By, c.Began}
	}
	return nil
}

// followed reports whether a process in that state has nothing to be told.
func followed(verb store.Verb, state string) bool {
	switch verb {
	case store.Quiet:
		return state != lifecycle.Running.String()
	case store.Resume:
		return state != lifecycle.Quieted.String()
	case store.Stop:
		return state == lifecycle.Draining.String()
	}
	return false
}

// targets are the processes that a change is about: one by its path, or all of a
// release that live.
func (ui *UI) targets(r *request) ([]store.Process, error) {
	all, err := ui.store.Processes(r.Context())
	if err != nil {
		return nil, err
	}
	if id := r.PathValue("id"); id != "" {
		if p := processNamed(all, id); p != nil {
			return []store.Process{*p}, nil
		}
		report, err := ui.findStop(r.Context(), id)
		if err != nil {
			return nil, err
		}
		if report != nil {
			return nil, fault(http.StatusConflict, fmt.Errorf("%s has ended already, %s", fleet.Short(report.ID), prose.When(report.Ended, r.Now)), "")
		}
		return nil, noProcess(id)
	}
	release := r.FormValue("release")
	if release == "" {
		return nil, fault(http.StatusBadRequest, errors.New("which processes?"), "choose a release on the page of processes")
	}
	chosen := slices.DeleteFunc(all, func(p store.Process) bool { return p.Lapsed || fleet.ReleaseOf(&p) != release })
	if len(chosen) == 0 {
		return nil, missing("no process of release %q lives", release)
	}
	return chosen, nil
}

// whom names processes in the audit trail, as ebb processes does.
func whom(targets []store.Process) string {
	const most = 10
	var names []string
	for _, p := range targets[:min(most, len(targets))] {
		names = append(names, fleet.Short(p.ID))
	}
	if len(targets) > most {
		names = append(names, "…")
	}
	return prose.Plural(len(targets), "process") + ": " + strings.Join(names, ", ")
}

// seen stands for the processes that a page was made of.
func seen(targets []store.Process) string {
	h := fnv.New64a()
	for _, p := range targets {
		h.Write([]byte(p.ID + "\n"))
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// tell leaves an order for processes. They take it with their next beat; until they say
// so, pages show it as on its way.
func (ui *UI) tell(w http.ResponseWriter, r *request, verb store.Verb) error {
	targets, err := ui.targets(r)
	if err != nil {
		return err
	}
	if shown := r.PostFormValue("seen"); shown != "" && shown != seen(targets) {
		return fault(http.StatusConflict, errors.New("processes have come or gone since this page was made: nobody was told anything"), "go back, and look again")
	}
	if one := r.PathValue("id") != ""; one {
		if err := tellable(&targets[0], verb); err != nil {
			return fault(http.StatusConflict, err, "")
		}
	} else {
		targets = slices.DeleteFunc(targets, func(p store.Process) bool { return tellable(&p, verb) != nil || followed(verb, p.State) })
	}
	if len(targets) == 0 || r.PathValue("id") != "" && verb != store.Dump && followed(verb, targets[0].State) {
		return ui.back(w, r, "") // what is so already needs no order
	}
	rest := told{}
	for _, p := range targets {
		rest.Processes = append(rest.Processes, p.ID)
	}
	c := store.Change{Verb: string(verb), What: whom(targets)}
	if c.Rest, err = json.Marshal(rest); err != nil {
		return err
	}
	id, err := ui.noting(r, c, func(ctx context.Context) (int64, error) {
		for _, p := range targets {
			err := ui.store.Command(ctx, p.ID, store.Command{Verb: verb})
			// One that has left meanwhile has done more than it was told.
			if err != nil && !errors.Is(err, store.ErrUnknownProcess) {
				return 0, err
			}
		}
		return 0, nil
	})
	if err != nil {
		return err
	}
	return ui.back(w, r, id)
}

// tellable says why a process cannot be told something, nil if it can.
func tellable(p *store.Process, verb store.Verb) error {
	switch {
	case p.Lapsed:
		return store.WithHint(fmt.Errorf("%s is gone: its lease has ended", fleet.Short(p.ID)), "any living process gives back what it held; without one, ebb rescue does")
	case p.Lang == "ruby" && verb == store.Resume:
		return store.WithHint(fmt.Errorf("%s is Ruby's: what is quiet there stays quiet", fleet.Short(p.ID)), "stop it, and start another")
	}
	return nil
}

// stopQuestion is the page that asks before processes are stopped.
type stopQuestion struct {
	paged
	Targets []store.Process
	What    string
	Seen    string
	Action  string
	Release string
	Back    string
	Running int
	Jobs    []endangered
}

// endangered is a job that runs in a process which is to be stopped.
type endangered struct {
	store.Run
	By       store.Identity
	Expected string
}

func (ui *UI) askStop(w http.ResponseWriter, r *request) error {
	switch {
	case ui.opt.ReadOnly:
		return errReadOnly
	case r.Role < Operator:
		return forbidden(Operator)
	}
	targets, err := ui.targets(r)
	if err != nil {
		return err
	}
	took, err := ui.usualTimes(r.Context(), r.Now)
	if err != nil {
		return err
	}
	q := stopQuestion{Targets: targets, What: whom(targets), Seen: seen(targets), Release: r.FormValue("release")}
	q.Action, q.Back = r.Path("/processes/stop"), r.Path("/processes")
	if id := r.PathValue("id"); id != "" {
		q.Action, q.Back, q.Release = r.Path("/processes/"+url.PathEscape(id)+"/stop"), r.Path("/processes/"+url.PathEscape(id)), ""
	}
	for i := range targets {
		for _, run := range targets[i].Busy {
			q.Jobs = append(q.Jobs, endangered{run, targets[i].ID, expected(&targets[i], &run, took, r.Now)})
		}
	}
	slices.SortStableFunc(q.Jobs, func(a, b endangered) int { return cmp.Compare(a.Since.UnixNano(), b.Since.UnixNano()) })
	q.Running = len(q.Jobs)
	var from, to int
	q.paged, from, to = pageOf(r.FormValue("page"), len(q.Jobs))
	q.Jobs = q.Jobs[from:to]
	ui.render(w, r, page{Title: "Stop " + q.What, Tab: "/processes", Template: "process_stop", Data: q})
	return nil
}

// usualTimes are how long 95 of 100 runs take at most, by kind, of those of the last
// day.
func (ui *UI) usualTimes(ctx context.Context, now time.Time) (map[string]time.Duration, error) {
	points, err := ui.store.Series(ctx, store.SeriesQuery{Step: store.Hour, From: now.Add(-24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	all := map[string]store.Runs{}
	for _, p := range points {
		all[p.Kind] = all[p.Kind].Plus(p.Runs)
	}
	took := map[string]time.Duration{}
	for kind, runs := range all {
		if d, ok := runs.Spread.Quantile(0.95); ok && kind != "" {
			took[kind] = d
		}
	}
	return took, nil
}

// expected says what will most likely become of a running job if its process is told
// to stop now.
func expected(p *store.Process, run *store.Run, took map[string]time.Duration, now time.Time) string {
	room := p.Grace - lifecycle.Reserve(p.Grace)
	if !p.KillAt.IsZero() {
		room = p.KillAt.Sub(now) - lifecycle.Reserve(p.Grace)
	}
	usual, known := took[run.Kind]
	ran := now.Sub(run.Since)
	switch {
	case p.Lang == "ruby":
		return "unknown: Sidekiq gives it its own timeout, and puts it back then"
	case run.Deaf:
		return "deaf: it does not hear that it should end; others run it again once its process is gone"
	case room <= 0 && p.Grace > 0:
		return "handed back, or goes on elsewhere from its checkpoint"
	case known && p.Grace > 0 && usual-ran <= room && ran <= usual:
		return "finishes: 95 of 100 " + prose.Plain(run.Kind) + " take " + prose.Span(usual) + " at most"
	case p.Grace > 0:
		return "finishes within " + prose.Span(room) + "; if not, it is handed back, or goes on elsewhere from its checkpoint"
	}
	return "finishes in time; if not, it is handed back, or goes on elsewhere from its checkpoint"
}

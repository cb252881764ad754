package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// difference is what does not agree with the books of a queue: a job, or a place.
type difference struct {
	Place  string `json:"place"`
	JID    string `json:"jid,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Holder string `json:"holder,omitempty"` // whom nobody knows
	What   string `json:"what"`
}

func ofJob(e store.Entry, what string) difference {
	d := difference{Place: e.Place.String(), Holder: string(e.Holder), What: what}
	if job, err := wire.Parse(e.Payload); err == nil {
		d.JID, d.Kind = job.JID, job.Name()
	}
	return d
}

// find returns rows with what it finds of what does not balance.
func (a *app) find(ctx context.Context, s store.Store, rows []bookRow) ([]bookRow, error) {
	f := &finder{a: a, s: s, rows: rows}
	if err := f.unheld(ctx); err != nil {
		return nil, err
	}
	if err := f.compare(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(f.rows, func(a, b bookRow) int { return cmp.Compare(a.Queue, b.Queue) })
	return f.rows, nil
}

type finder struct {
	a    *app
	s    store.Store
	rows []bookRow
}

// mostNamed is how many differences of one queue are kept.
const mostNamed = 1000

// add notes a difference in a queue, which gets a row if it has no books.
func (f *finder) add(queue string, d difference) {
	i := slices.IndexFunc(f.rows, func(b bookRow) bool { return b.Queue == queue })
	if i < 0 {
		i = len(f.rows)
		f.rows = append(f.rows, newBookRow(store.Books{Queue: queue}))
	}
	if row := &f.rows[i]; len(row.Differences) < mostNamed {
		row.Differences = append(row.Differences, d)
	}
}

// unheld finds jobs whose holder nobody knows.
func (f *finder) unheld(ctx context.Context) error {
	ids, err := f.s.Audit(ctx, "", 0)
	if err != nil {
		return err
	}
	for _, id := range ids {
		for entry, err := range f.s.Jobs(ctx, store.Query{Place: store.Keeping, Key: id}) {
			if err != nil {
				return err
			}
			f.add(entry.Queue, ofJob(entry, "held by "+fleet.Short(id)+", which nobody knows"))
		}
	}
	return nil
}

// compare counts what is in each place, and compares that with the books. It cannot
// tell of a queue whose jobs move meanwhile.
func (f *finder) compare(ctx context.Context) error {
	before, err := f.s.Stats(ctx)
	if err != nil {
		return err
	}
	there, err := f.census(ctx, before)
	if err != nil {
		return err
	}
	after, err := f.s.Stats(ctx)
	if err != nil {
		return err
	}
	ruby := f.s.Describe().RubyShares
	for _, b := range before.Books {
		if !slices.Contains(after.Books, b) {
			continue
		}
		for place, booked := range [...]int64{
			store.Ready: b.Waiting, store.Scheduled: b.Scheduled, store.Retrying: b.Retrying, store.Keeping: b.Held, store.Dead: b.Dead,
		} {
			n := there[b.Queue][place]
			// Others may put jobs into a set that they share.
			if n == booked || ruby && (b.Shared || n > booked) {
				continue
			}
			what := fmt.Sprintf("%s there, %s by the books", prose.Plural(n, "job"), prose.Count(booked))
			f.add(b.Queue, difference{Place: store.Place(place).String(), What: what})
		}
	}
	return nil
}

// counts are the jobs of a queue by place.
type counts [store.Dead + 1]int64

// census counts all jobs, and names those of queues that have no books.
func (f *finder) census(ctx context.Context, st store.Stats) (map[string]counts, error) {
	there := map[string]counts{}
	queries := []store.Query{{Place: store.Scheduled}, {Place: store.Retrying}, {Place: store.Keeping}, {Place: store.Dead}}
	for _, b := range st.Books {
		there[b.Queue] = counts{}
		queries = append(queries, store.Query{Place: store.Ready, Queue: b.Queue})
	}
	bar := f.a.term.Progress("counting jobs", st.Ready+st.Scheduled+st.Retrying+st.Held+st.Dead)
	defer bar.End()
	done := int64(0)
	for _, query := range queries {
		for entry, err := range f.s.Jobs(ctx, query) {
			if err != nil {
				return nil, err
			}
			if done++; done%1000 == 0 {
				bar.Set(done, "")
			}
			n, known := there[entry.Queue]
			if !known {
				f.add(entry.Queue, ofJob(entry, "of a queue that has no books"))
				continue
			}
			n[entry.Place]++
			there[entry.Queue] = n
		}
	}
	return there, nil
}

// mostSaid is how many differences of one queue are told in words.
const mostSaid = 10

func (a *app) sayDifferences(b bookRow) {
	for _, d := range b.Differences[:min(len(b.Differences), mostSaid)] {
		what := d.Place + ": "
		if d.JID != "" {
			what += d.JID + " " + d.Kind + ": "
		}
		a.say("  %s", prose.Plain(what+d.What))
	}
	if more := len(b.Differences) - mostSaid; more > 0 {
		a.say("  and %s more: -o json names them", prose.Count(more))
	}
}

// remedy is the one thing to try.
func remedy(rows []bookRow) string {
	for _, b := range rows {
		if slices.ContainsFunc(b.Differences, func(d difference) bool { return d.Holder != "" }) {
			return "ebb rescue gives back what nobody holds"
		}
	}
	return "ebb stops ls and ebb audit say what happened to jobs at that time"
}

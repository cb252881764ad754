package memstore

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	deafLease = time.Second / 2       // what Leave leaves of a lease
	look      = 50 * time.Millisecond // the longest that a promoter may look away

	defaultDeadMax = 10_000
	defaultDeadAge = 180 * 24 * time.Hour

	stopsMax = 1000
	stopsAge = 30 * 24 * time.Hour
)

// stop is what was reported of one process's end.
type stop struct {
	id    store.Identity
	at    time.Time // of the last part
	parts []store.StopReport
}

// Beat registers a process or renews its lease.
func (s *Store) Beat(ctx context.Context, p store.Presence, ttl time.Duration) (store.Orders, error) {
	if err := s.enter(ctx, 0); err != nil {
		return store.Orders{}, wrap("beat", err)
	}
	defer s.mu.Unlock()
	if s.left[p.ID] {
		return store.Orders{}, wrap("beat", store.ErrLeft)
	}
	now := s.clock()
	pr := s.processes[p.ID]
	orders := store.Orders{Renewed: pr == nil || !now.Before(pr.until)}
	if pr == nil {
		pr = new(process)
		s.processes[p.ID] = pr
	}
	known := make(map[store.Token]bool, len(p.Known))
	for _, t := range p.Known {
		known[t] = true
		if s.heldBy(p.ID, t) == nil {
			orders.Gone = append(orders.Gone, t)
		}
	}
	for _, j := range s.allHeldBy(p.ID) {
		if !known[token(j)] {
			orders.Unknown = append(orders.Unknown, held(j))
		}
	}
	orders.Paused = slices.Sorted(maps.Keys(s.paused))
	orders.Commands, pr.commands = pr.commands, nil
	pr.Presence, pr.beat, pr.until, pr.seen = forPeople(p), now, now.Add(ttl), s.nextTicket()
	pr.unclaimed = false
	if orders.Renewed {
		s.mark(p.Release)
	}
	s.hear(p.ID, p.Release, p.Runs, p.Ended)
	return orders, nil
}

// forPeople is p without what only the store reads, and without the caller's slices.
func forPeople(p store.Presence) store.Presence {
	p.Known, p.Runs, p.Ended = nil, nil, nil
	p.Turns = slices.Clone(p.Turns)
	p.Settings = slices.Clone(p.Settings)
	p.Warnings = slices.Clone(p.Warnings)
	p.Labels = slices.Clone(p.Labels)
	p.Groups = slices.Clone(p.Groups)
	p.Busy = slices.Clone(p.Busy)
	for i := range p.Busy {
		p.Busy[i].Token, p.Busy[i].Payload = "", nil
	}
	return p
}

// Promote moves jobs that are due to the back of their queues, and trims the dead set.
func (s *Store) Promote(ctx context.Context, p store.Promotion) (moved int, next time.Duration, err error) {
	if err := s.enter(ctx, 0); err != nil {
		return 0, 0, wrap("promote", err)
	}
	defer s.mu.Unlock()
	now := s.clock()
	s.forget()
	s.trim(cmp.Or(p.DeadMax, defaultDeadMax), now.Add(-cmp.Or(p.DeadAge, defaultDeadAge)))
	for most := min(cmp.Or(p.Max, store.MaxBatch), store.MaxBatch); ; moved++ {
		j := s.nextDue()
		if j == nil {
			return moved, look, nil
		}
		if wait := j.at.Sub(now); wait > 0 {
			return moved, min(wait, look), nil
		}
		if moved == most {
			return moved, 0, nil
		}
		s.lift(j)
		j.payload = wire.Stamp(j.payload, j.queue, now)
		s.putBack(j)
	}
}

// nextDue is the job of both sets whose time comes first, or nil.
func (s *state) nextDue() *job {
	var first *job
	for _, set := range []line{s.sets[store.Scheduled], s.sets[store.Retrying]} {
		if len(set) > 0 && (first == nil || order(set[0], first) < 0) {
			first = set[0]
		}
	}
	return first
}

func (s *state) trim(most int, before time.Time) {
	for dead := &s.sets[store.Dead]; len(*dead) > 0; {
		j := (*dead)[0]
		if len(*dead) <= most && j.at.After(before) {
			return
		}
		s.lift(j)
		s.book(j.queue).Trimmed++
	}
}

// Orphans lists processes that are gone.
func (s *Store) Orphans(ctx context.Context, max int, dead ...store.Identity) ([]store.Lost, error) {
	if err := s.enter(ctx, 0); err != nil {
		return nil, wrap("orphans", err)
	}
	defer s.mu.Unlock()
	now := s.clock()
	var lost []store.Lost
	for _, id := range slices.Sorted(maps.Keys(s.processes)) {
		p := s.processes[id]
		var cause store.Cause
		switch {
		case slices.Contains(dead, id):
			cause = store.Witnessed
		case now.Before(p.until):
			continue
		case p.unclaimed:
			cause = store.Unclaimed
		case p.left:
			cause = store.Left
		default:
			cause = store.Lapsed
		}
		if len(lost) == max {
			break
		}
		l := store.Lost{ID: id, Cause: cause, Last: p.Presence, Beat: p.beat, Now: now, Seen: strconv.FormatUint(p.seen, 10)}
		for _, j := range s.allHeldBy(id) {
			if len(l.Jobs) == store.MaxBatch {
				l.More = true
				break
			}
			l.Jobs = append(l.Jobs, held(j))
		}
		lost = append(lost, l)
	}
	return lost, nil
}

// Rescue moves jobs of a process that is gone where g says.
func (s *Store) Rescue(ctx context.Context, g store.Salvage) (moved int, err error) {
	if err := s.enter(ctx, len(g.Jobs)); err != nil {
		return 0, wrap("rescue", err)
	}
	defer s.mu.Unlock()
	now := s.clock()
	p := s.processes[g.ID]
	if p == nil {
		return 0, nil
	}
	// A lease that had ended and is unchanged is at its end still. Who saw the process
	// die needs no lease to tell.
	if g.Cause != store.Witnessed && g.Seen != strconv.FormatUint(p.seen, 10) {
		return 0, nil
	}
	// The last goes to the front first.
	for _, r := range slices.Backward(g.Jobs) {
		j := s.heldBy(g.ID, r.Token)
		if j == nil || !bytes.Equal(j.payload, r.Was) {
			continue
		}
		s.lift(j)
		s.book(j.queue).Rescued++
		if r.Payload != nil {
			j.payload = bytes.Clone(r.Payload)
		}
		switch r.To {
		case store.Ready:
			j.payload = wire.Stamp(j.payload, "", now)
			s.putFront(j, now)
		case store.Dead:
			s.putSet(j, store.Dead, now)
		case store.Scheduled, store.Retrying:
			s.putSet(j, r.To, now.Add(r.Delay))
		}
		moved++
	}
	forgotten := len(s.allHeldBy(g.ID)) == 0
	if forgotten {
		delete(s.processes, g.ID)
	}
	if g.Report != nil && (moved > 0 || forgotten) {
		s.report(g.ID, *g.Report)
	}
	return moved, nil
}

// Suspect shortens a lease to d, if it is longer.
func (s *Store) Suspect(ctx context.Context, id store.Identity, d time.Duration) error {
	if err := s.enter(ctx, 0); err != nil {
		return wrap("suspect", err)
	}
	defer s.mu.Unlock()
	if p, until := s.processes[id], s.clock().Add(d); p != nil && until.Before(p.until) {
		p.until, p.seen = until, s.nextTicket()
	}
	return nil
}

// Leave takes a process out for good.
func (s *Store) Leave(ctx context.Context, call store.Call, f store.Farewell) error {
	if err := s.enter(ctx, max(len(f.Back), len(f.Deaf))); err != nil {
		return wrap("leave", err)
	}
	defer s.mu.Unlock()
	if repeated, err := s.answered(call); repeated {
		return wrap("leave", err)
	}
	if s.left[f.ID] {
		return wrap("leave", store.ErrLeft)
	}
	s.left[f.ID] = true
	named := make(map[store.Token]bool, len(f.Back)+len(f.Deaf))
	for _, t := range f.Deaf {
		named[t] = true
	}
	for _, l := range f.Back {
		named[l.Token] = true
	}
	for _, j := range slices.Backward(s.allHeldBy(f.ID)) {
		if !named[token(j)] {
			s.requeue(j, store.Later{})
		}
	}
	var missing []store.Token
	for _, l := range slices.Backward(f.Back) {
		if j := s.heldBy(f.ID, l.Token); j != nil {
			s.requeue(j, l)
		} else {
			missing = append(missing, l.Token)
		}
	}
	if p := s.processes[f.ID]; p != nil && len(s.allHeldBy(f.ID)) > 0 {
		p.left, p.until, p.seen, p.commands = true, s.clock().Add(deafLease), s.nextTicket(), nil
	} else {
		delete(s.processes, f.ID)
	}
	s.hear(f.ID, f.Report.Release, f.Runs, f.Ended)
	delete(s.told, f.ID)
	s.report(f.ID, f.Report)
	err := store.NotHeld(missing)
	s.remember(call, err)
	return wrap("leave", err)
}

func clone[S ~[]E, E any](s S) S { return slices.Clip(slices.Clone(s)) }

// report keeps a part of what is told about the end of a process.
func (s *state) report(id store.Identity, r store.StopReport) {
	now := s.clock()
	var st stop
	if i := slices.IndexFunc(s.stops, func(st stop) bool { return st.id == id }); i >= 0 {
		st = s.stops[i]
		s.stops = slices.Delete(s.stops, i, i+1)
	}
	// Clipped, since MergeStops appends to the first part.
	r.Jobs, r.Phases, r.Notes = clone(r.Jobs), clone(r.Phases), clone(r.Notes)
	parts := append(slices.Clip(st.parts), r)
	s.stops = append(s.stops, stop{id, now, parts})
	s.stops = slices.DeleteFunc(s.stops, func(st stop) bool { return now.Sub(st.at) > stopsAge })
	s.stops = s.stops[max(0, len(s.stops)-stopsMax):]
}

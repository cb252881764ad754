package memstore

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// series is what is told apart within a step.
type series struct{ kind, queue, release string }

// told is what a process has told of its runs so far. It outlives a rescue, after which
// the process may beat again.
type told struct {
	release string
	runs    map[series]store.Runs // without the release
	number  uint64                // of the last job that ended
}

// hear takes what is new in what a process tells of its runs.
func (s *state) hear(id store.Identity, release string, runs []store.Runs, ended []store.Numbered) {
	t := s.told[id]
	if t == nil {
		t = &told{runs: map[series]store.Runs{}}
		s.told[id] = t
	}
	t.release = cmp.Or(release, t.release)
	now := s.clock()
	for _, r := range runs {
		name := series{kind: r.Kind, queue: r.Queue}
		if fresh := r.Since(t.runs[name]); fresh.Ended > 0 {
			t.runs[name] = r
			s.tally(now, t.release, fresh)
		}
	}
	for _, e := range ended {
		if e.Number > t.number {
			t.number, e.Log = e.Number, bytes.Clone(e.Log)
			s.ended = append(s.ended, e.Ended)
		}
	}
	s.ended = s.ended[max(0, len(s.ended)-store.MaxEnded):]
}

// tally counts runs in every step that they ended in, and forgets steps that are over.
func (s *state) tally(now time.Time, release string, fresh store.Runs) {
	for _, step := range store.Steps {
		at := step.Start(now)
		points := s.points[step]
		if points == nil {
			points = map[time.Time]map[series]store.Runs{}
			s.points[step] = points
		}
		if points[at] == nil {
			points[at] = map[series]store.Runs{}
			for old := range points {
				if !kept(step, old, now) {
					delete(points, old)
				}
			}
		}
		name := series{fresh.Kind, fresh.Queue, release}
		if step.Total() {
			name = series{}
		} else if _, known := points[at][name]; !known && len(points[at]) >= store.MaxSeries {
			name = series{kind: store.Others}
		}
		sum := points[at][name].Plus(fresh)
		sum.Kind, sum.Queue = name.kind, name.queue
		points[at][name] = sum
	}
}

func kept(step store.Step, at, now time.Time) bool { return now.Sub(at) < step.Kept() }

// mark notes that a process of a release registered, unless one did before.
func (s *state) mark(release string) {
	now := s.clock()
	s.marks = slices.DeleteFunc(s.marks, func(m store.Mark) bool { return now.Sub(m.At) >= store.MarkAge })
	if release == "" || slices.ContainsFunc(s.marks, func(m store.Mark) bool { return m.Release == release }) {
		return
	}
	s.marks = append(s.marks, store.Mark{At: now, Release: release})
	s.marks = s.marks[max(0, len(s.marks)-store.MaxMarks):]
}

// Series returns how runs went in the steps of q.
func (s *Store) Series(ctx context.Context, q store.SeriesQuery) ([]store.Point, error) {
	if err := s.enter(ctx, 0); err != nil {
		return nil, wrap("series", err)
	}
	defer s.mu.Unlock()
	now := s.clock()
	var points []store.Point
	for at, runs := range s.points[q.Step] {
		if at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) || !kept(q.Step, at, now) {
			continue
		}
		for name, r := range runs {
			if q.Kind == "" || q.Kind == name.kind {
				points = append(points, store.Point{At: at, Release: name.release, Runs: r})
			}
		}
	}
	slices.SortFunc(points, func(a, b store.Point) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Release, b.Release))
	})
	return points, nil
}

// Marks returns the releases that began since then.
func (s *Store) Marks(ctx context.Context, since time.Time) ([]store.Mark, error) {
	if err := s.enter(ctx, 0); err != nil {
		return nil, wrap("marks", err)
	}
	defer s.mu.Unlock()
	s.mark("") // which only forgets
	return slices.DeleteFunc(slices.Clone(s.marks), func(m store.Mark) bool { return m.At.Before(since) }), nil
}

// Ended walks jobs that left the store at the end of a run, the latest first.
func (s *Store) Ended(ctx context.Context, jid string) iter.Seq2[store.Ended, error] {
	return func(yield func(store.Ended, error) bool) {
		if err := s.enter(ctx, 0); err != nil {
			yield(store.Ended{}, wrap("ended", err))
			return
		}
		ended := slices.Clone(s.ended)
		s.mu.Unlock()
		for _, e := range slices.Backward(ended) {
			if jid != "" && e.JID != jid {
				continue
			}
			e.Log = bytes.Clone(e.Log)
			if !yield(e, nil) {
				return
			}
		}
	}
}

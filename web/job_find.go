package web

import (
	"context"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// jobFinder finds jobs by their jids. Some stores look through all of a set for one, so
// that it looks first where the job runs and where it was seen last.
type jobFinder struct {
	st   store.Store
	mu   sync.Mutex
	seen map[string]*sighting // by jid
}

// sighting is what is known of where a job is.
type sighting struct {
	mu    sync.Mutex
	near  query.Position
	found []store.Entry // by the last search of everything
	at    time.Time     // of that search
	took  time.Duration
}

const (
	maxSightings = 500
	// nearby is how many jobs are looked at around where one was seen.
	nearby = 2000
	// sameJID is how many jobs of one jid are shown.
	sameJID = 20
	// A search of everything is made again after so many times what it took: a page that
	// is left open must not keep a store busy.
	rest = 20
)

func newJobFinder(st store.Store) *jobFinder {
	return &jobFinder{st: st, seen: map[string]*sighting{}}
}

func (f *jobFinder) sighting(jid string) *sighting {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.seen[jid]
	if s == nil {
		for other := range f.seen {
			if len(f.seen) < maxSightings {
				break
			}
			delete(f.seen, other) // any: who comes back searches again
		}
		s = &sighting{}
		f.seen[jid] = s
	}
	return s
}

// hint says where a job was seen. What cannot be read is no hint.
func (f *jobFinder) hint(jid, near string) {
	p, err := query.ParsePosition(near)
	if err != nil || p.IsZero() {
		return
	}
	s := f.sighting(jid)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.near = p
}

// find returns the jobs of a jid, none if there is none.
func (f *jobFinder) find(ctx context.Context, jid string) ([]store.Entry, error) {
	s := f.sighting(jid)
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := f.walk(ctx, store.Query{Place: store.Keeping, JID: jid}, jid)
	if err == nil && len(found) == 0 && !s.near.IsZero() {
		q := store.Query{Place: s.near.Place, Queue: s.near.Queue, From: s.near.At, Limit: nearby}
		if q.Place != store.Ready {
			q.Queue = ""
		}
		found, err = f.walk(ctx, q, jid)
	}
	if len(found) > 0 || err != nil {
		return found, err
	}
	if !s.at.IsZero() && time.Since(s.at) < rest*s.took && len(s.found) == 0 {
		return nil, nil
	}
	began := time.Now()
	s.found = nil
	for e, err := range query.ForJIDs(jid).Find(ctx, f.st, query.Search{}) {
		if err != nil {
			return nil, err
		}
		if s.found = append(s.found, e); len(s.found) == sameJID {
			break
		}
	}
	s.at, s.took = time.Now(), time.Since(began)
	if len(s.found) == 1 {
		e := s.found[0]
		s.near = query.Position{Place: e.Place, Queue: e.Queue, At: e.At, Skip: 1}
	}
	return s.found, nil
}

func (f *jobFinder) walk(ctx context.Context, q store.Query, jid string) (found []store.Entry, err error) {
	for e, err := range f.st.Jobs(ctx, q) {
		if err != nil {
			return nil, err
		}
		if !q.From.IsZero() && e.At.After(q.From) {
			break
		}
		if is, ok := wire.JIDOf(e.Payload); ok && is == jid {
			found = append(found, e)
		}
	}
	return found, nil
}

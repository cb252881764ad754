package sqlitestore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

// A life is what jobs of one queue go through, each edge of the state machine at
// least once, one call after the other. Where each job is after each call is known
// beforehand, so that any moment at which everything stops can be judged.
type life struct {
	*Store
	queue string
	due   time.Duration // of what is scheduled or tried again: soon if this life promotes, else never
	steps []step
	now   positions // as planned so far

	who  store.Identity
	seq  uint64
	held map[string]store.Held
}

// step is one call, and where the jobs are after it.
type step struct {
	call  func(ctx context.Context) error
	after positions
}

// positions are the place of each job, by jid, and whether it has its checkpoint.
type positions map[string]string

func newLife(s *Store, queue string, promotes bool, rounds int) *life {
	l := &life{Store: s, queue: queue, due: time.Hour, now: positions{}, who: store.NewIdentity(), held: map[string]store.Held{}}
	if promotes {
		l.due = 0
	}
	for round := range rounds {
		l.round(fmt.Sprintf("%s.%d", queue, round), promotes)
	}
	return l
}

// add plans a call after which jobs are where place says.
func (l *life) add(call func(ctx context.Context) error, place store.Place, jids ...string) {
	for _, jid := range jids {
		_, more, _ := strings.Cut(l.now[jid], " ")
		l.now[jid] = strings.TrimSpace(place.String() + " " + more)
	}
	l.steps = append(l.steps, step{call, maps.Clone(l.now)})
}

// gone plans one after which jobs are nowhere.
func (l *life) gone(call func(ctx context.Context) error, jids ...string) {
	for _, jid := range jids {
		delete(l.now, jid)
	}
	l.steps = append(l.steps, step{call, maps.Clone(l.now)})
}

// checkpointed stands at the end of a payload that was saved.
const checkpointed = "checkpointed"

func (l *life) round(name string, promotes bool) {
	a, b, c, d, e, f, g := name+"a", name+"b", name+"c", name+"d", name+"e", name+"f", name+"g"
	l.add(l.push(a, b, c, d, g, e), store.Ready, a, b, c, d, g, e)
	l.add(l.schedule(f), store.Scheduled, f)
	l.add(l.fetch(l.who, 5), store.Keeping, a, b, c, d, g)
	l.now[a] += " " + checkpointed
	l.add(l.verdict(l.Checkpoint, store.Later{Payload: []byte(payloadOf(a, l.queue) + checkpointed)}, a), store.Keeping, a)
	l.gone(l.ack(b), b)
	l.add(l.verdict(l.Retry, store.Later{Delay: l.due, Failed: true}, c), store.Retrying, c)
	l.add(l.verdict(l.Bury, store.Later{}, d), store.Dead, d)
	l.add(l.verdict(l.Bury, store.Later{}, g), store.Dead, g) // for good: no two moments look alike
	l.add(l.verdict(l.Requeue, store.Later{}, a), store.Ready, a)
	last := []string{a, e}
	if promotes {
		l.add(l.promote(2), store.Ready, c, f)
		last = append(last, f, c)
	}
	dying, leaving := store.NewIdentity(), store.NewIdentity()
	l.add(l.fetch(dying, 2), store.Keeping, a, e)
	l.add(l.rescue(dying), store.Ready, a, e)
	l.add(l.fetch(leaving, 1), store.Keeping, a)
	l.add(l.leave(leaving, a), store.Ready, a)
	l.add(l.byHand(store.Ready, d), store.Ready, d)
	l.gone(l.byHand(nowhere, d), d)
	l.add(l.fetch(l.who, len(last)), store.Keeping, last...)
	l.gone(l.ack(last...), last...)
}

func payloadOf(jid, queue string) string {
	return fmt.Sprintf(`{"class":"Test","args":[],"queue":%q,"jid":%q}`, queue, jid)
}

func (l *life) items(jids []string) (items []store.Item) {
	for _, jid := range jids {
		items = append(items, store.Item{JID: jid, Queue: l.queue, Kind: "Test", Delay: l.due, Payload: []byte(payloadOf(jid, l.queue))})
	}
	return items
}

func (l *life) next(lane int) store.Call {
	l.seq++
	return store.Call{By: l.who, Lane: lane, Seq: l.seq}
}

func (l *life) push(jids ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := l.Push(ctx, l.next(store.LanePush), l.items(jids)...)
		return err
	}
}

func (l *life) schedule(jids ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := l.Schedule(ctx, l.next(store.LanePush), l.items(jids)...)
		return err
	}
}

// fetch registers who it is for, if need be.
func (l *life) fetch(who store.Identity, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := l.Beat(ctx, store.Presence{ID: who}, time.Minute); err != nil {
			return err
		}
		l.seq++
		jobs, _, err := l.Fetch(ctx, store.Call{By: who, Lane: store.LaneFetch, Seq: l.seq}, store.Plan{Queues: []store.Share{{Queue: l.queue}}}, n, 0)
		if err == nil && len(jobs) != n {
			err = fmt.Errorf("fetched %d jobs, not %d", len(jobs), n)
		}
		for _, j := range jobs {
			l.held[jidOf(j.Payload)] = j
		}
		return err
	}
}

func jidOf(payload []byte) string {
	_, jid, _ := bytes.Cut(payload, []byte(`"jid":"`))
	jid, _, _ = bytes.Cut(jid, []byte(`"`))
	return string(jid)
}

func (l *life) ack(jids ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		var done []store.Done
		for _, jid := range jids {
			done = append(done, store.Done{Token: l.held[jid].Token})
		}
		return l.Ack(ctx, l.next(store.LaneVerdict), done...)
	}
}

func (l *life) verdict(give func(context.Context, store.Call, ...store.Later) error, later store.Later, jid string) func(context.Context) error {
	return func(ctx context.Context) error {
		later.Token = l.held[jid].Token
		return give(ctx, l.next(store.LaneVerdict), later)
	}
}

func (l *life) promote(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		moved, _, err := l.Promote(ctx, store.Promotion{By: l.who})
		if err == nil && moved != n {
			err = fmt.Errorf("promoted %d jobs, not %d", moved, n)
		}
		return err
	}
}

func (l *life) rescue(gone store.Identity) func(context.Context) error {
	return func(ctx context.Context) error {
		lost, err := l.Orphans(ctx, 10, gone)
		if err != nil || len(lost) != 1 {
			return errors.Join(err, fmt.Errorf("lost: %d processes", len(lost)))
		}
		s := store.Salvage{ID: gone, Cause: store.Witnessed, Seen: lost[0].Seen, Report: &store.StopReport{ID: gone}}
		for _, j := range lost[0].Jobs {
			s.Jobs = append(s.Jobs, store.Rescued{Token: j.Token, Was: j.Payload})
		}
		_, err = l.Rescue(ctx, s)
		return err
	}
}

func (l *life) leave(who store.Identity, jid string) func(context.Context) error {
	return func(ctx context.Context) error {
		l.seq++
		return l.Leave(ctx, store.Call{By: who, Lane: store.LaneVerdict, Seq: l.seq}, store.Farewell{
			ID: who, Back: []store.Later{{Token: l.held[jid].Token}}, Report: store.StopReport{ID: who},
		})
	}
}

// nowhere is where a job goes that is deleted by hand.
const nowhere = store.Place(-1)

func (l *life) byHand(to store.Place, jid string) func(context.Context) error {
	return func(ctx context.Context) error {
		var pick store.Pick
		for _, from := range []store.Place{store.Dead, store.Ready} {
			for e, err := range l.Jobs(ctx, store.Query{Place: from, Queue: l.queue}) {
				if err != nil {
					return err
				}
				if jidOf(e.Payload) == jid {
					pick.Key = e.Key
				}
			}
		}
		move := func() (int, error) { return l.Move(ctx, store.Undoable{}, to, pick) }
		if to == nowhere {
			move = func() (int, error) { return l.Delete(ctx, store.Undoable{}, pick) }
		}
		n, err := move()
		if err == nil && n != 1 {
			err = fmt.Errorf("%d entries of %s changed", n, jid)
		}
		return err
	}
}

// judge compares what a database has of a life with what is known of it: it was
// stopped when the call numbered answered had been answered and the one numbered
// asked had been made, both from 1. It returns how many answered calls are missing,
// and an error if the database shows no moment of this life.
func (l *life) judge(db *sql.DB, answered, asked int) (missing int, err error) {
	got, err := l.found(db)
	if err != nil {
		return 0, err
	}
	for n := asked; n >= 0; n-- {
		if maps.Equal(got, l.at(n)) {
			return max(answered-n, 0), l.balanced(db, got)
		}
	}
	return 0, fmt.Errorf("after %d of %d calls the jobs of %s are nowhere they ever were (-last answered +got):\n%s",
		answered, asked, l.queue, cmp.Diff(l.at(answered), got))
}

// at is where the jobs are after n calls.
func (l *life) at(n int) positions {
	if n == 0 {
		return positions{}
	}
	return l.steps[n-1].after
}

// found reads where the jobs are.
func (l *life) found(db *sql.DB) (positions, error) {
	got := positions{}
	rows, err := db.Query("SELECT jid, state, payload FROM ebb_job WHERE queue = (SELECT id FROM ebb_queue WHERE name = ?)", l.queue)
	if err != nil {
		return got, nil // not even the schema is left
	}
	defer rows.Close()
	for rows.Next() {
		var jid string
		var place store.Place
		var payload []byte
		if err := rows.Scan(&jid, &place, &payload); err != nil {
			return nil, err
		}
		if got[jid] = place.String(); bytes.HasSuffix(payload, []byte(checkpointed)) {
			got[jid] += " " + checkpointed
		}
	}
	return got, rows.Err()
}

// balanced checks the books against each other and against the jobs that are there.
func (l *life) balanced(db *sql.DB, jobs positions) error {
	rows, err := db.Query(listBooks)
	if err != nil {
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var b store.Books
		var processed, failed int64
		if err := rows.Scan(&b.Queue, &b.Accepted, &b.Done, &b.Discarded, &b.Expired, &b.Deleted, &b.Trimmed, &b.Moved, &b.Fetched, &b.Retried,
			&b.Buried, &b.Requeued, &b.Rescued, &b.Waiting, &b.Held, &b.Scheduled, &b.Retrying, &b.Dead, &processed, &failed); err != nil {
			return err
		}
		if b.Queue != l.queue {
			continue
		}
		places := map[string]int64{}
		for place := range maps.Values(jobs) {
			place, _, _ = strings.Cut(place, " ")
			places[place]++
		}
		counted := []int64{b.Waiting, b.Scheduled, b.Retrying, b.Held, b.Dead}
		there := []int64{}
		for place := store.Ready; place <= store.Dead; place++ {
			there = append(there, places[place.String()])
		}
		if b.Custody() != 0 || b.Arrivals() != 0 || !slices.Equal(counted, there) {
			return fmt.Errorf("books of %s: %+v, and the jobs %v", l.queue, b, places)
		}
	}
	return rows.Err()
}

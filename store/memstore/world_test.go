package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

const (
	lease     = 10 * time.Second
	suspicion = 2 * time.Second // is longer than the time between two beats
)

// world is one history.
type world struct {
	clock *clock
	st    *memstore.Store
	a, b  *proc
	late  []request // that may arrive once more, or for the first time
	lost  []store.Lost
	acked map[string]bool
	wrong []string
}

type request struct {
	name string
	send func()
}

// proc is what a process knows, and what is known of it.
type proc struct {
	id                    store.Identity
	fetch, verdict, beats uint64 // last Seq
	arrived               uint64 // the highest Seq of a fetch that the store has seen
	hand                  []store.Held
	given                 map[store.Token]bool // back, or acked: never to be begun
	silent                bool                 // its lease has ended, or it is taken for dead, since its last beat
	rescued               bool                 // from, since its last beat
	mute                  bool                 // its doorbell is down
	left, deaf, dead      bool
}

func (p *proc) lives() bool { return !p.left && !p.dead }

func newWorld() *world {
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w := &world{
		clock: c, st: memstore.New(memstore.Options{Clock: c.Now}), acked: map[string]bool{},
		a: &proc{id: "a", given: map[store.Token]bool{}}, b: &proc{id: "b", given: map[store.Token]bool{}},
	}
	w.send("push", func() {
		w.st.Push(context.Background(), store.Call{By: "p", Lane: store.LanePush, Seq: 1},
			store.Item{JID: "1", Queue: "q", Payload: []byte("1")}, store.Item{JID: "2", Queue: "q", Payload: []byte("2")})
	})
	w.beat(w.a)
	w.beat(w.b)
	return w
}

// send makes a request that may arrive again.
func (w *world) send(name string, send func()) {
	w.late = append(w.late, request{name, send})
	send()
}

// step does what has that name, and reports false if it cannot happen now.
func (w *world) step(name string) bool {
	if again, ok := strings.CutPrefix(name, "again: "); ok {
		for _, l := range slices.Backward(w.late) {
			if l.name == again {
				l.send()
				return true
			}
		}
		return false
	}
	i := slices.IndexFunc(steps, func(s step) bool { return s.name == name })
	if i < 0 || !steps[i].can(w) {
		return false
	}
	steps[i].do(w)
	return true
}

func (w *world) fail(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// The payload of a job here is its jid.
func jid(payload []byte) string { return string(payload) }

// ask makes the next fetch of p; reply says whether p hears of it.
func (w *world) ask(p *proc, arrives, reply bool) {
	p.fetch++
	call := store.Call{By: p.id, Lane: store.LaneFetch, Seq: p.fetch}
	fetch := func() ([]store.Held, error) {
		jobs, _, err := w.st.Fetch(context.Background(), call, store.Plan{Strict: true, Queues: []store.Share{{Queue: "q"}}}, 1, 0)
		return jobs, err
	}
	w.late = append(w.late, request{fmt.Sprintf("fetch %d of %s", call.Seq, p.id), func() {
		before := w.held(p)
		fetch()
		if (call.Seq <= p.arrived || p.left) && w.held(p) != before {
			w.fail("a late copy of fetch %d of %s took a job", call.Seq, p.id)
		}
		p.arrived = max(p.arrived, call.Seq)
	}})
	if !arrives {
		return
	}
	p.arrived = p.fetch
	jobs, err := fetch()
	if err != nil || !reply {
		return
	}
	for _, j := range jobs {
		if p.given[j.Token] {
			w.fail("%s is given %s again, which it gave back", p.id, j.Token)
		}
		for _, other := range []*proc{w.a, w.b} {
			held := func(h store.Held) bool { return jid(h.Payload) == jid(j.Payload) }
			if slices.ContainsFunc(other.hand, held) && !other.rescued {
				w.fail("%s is given job %s, which %s has in hand", p.id, jid(j.Payload), other.id)
			}
		}
		p.hand = append(p.hand, j)
	}
}

// held is how many jobs the store has p holding.
func (w *world) held(p *proc) (n int) {
	for range w.st.Jobs(context.Background(), store.Query{Place: store.Keeping, Key: p.id}) {
		n++
	}
	return n
}

// decide gives a verdict on all that p has in hand; one whose reply is lost is
// repeated.
func (w *world) decide(p *proc, lost bool, send func(call store.Call, jobs []store.Held) error, done bool) {
	p.verdict++
	call, jobs := store.Call{By: p.id, Lane: store.LaneVerdict, Seq: p.verdict}, p.hand
	err := send(call, jobs)
	if lost {
		if again := send(call, jobs); fmt.Sprint(again) != fmt.Sprint(err) {
			w.fail("a verdict was answered with %v, its repeat with %v", err, again)
		}
	}
	w.late = append(w.late, request{fmt.Sprintf("verdict %d of %s", call.Seq, p.id), func() { send(call, jobs) }})
	missing, _ := errors.AsType[*store.NotHeldError](err)
	if err != nil && missing == nil {
		w.fail("verdict of %s: %v", p.id, err)
	}
	for _, j := range jobs {
		p.given[j.Token] = true
		if done && (missing == nil || !slices.Contains(missing.Tokens, j.Token)) {
			w.acked[jid(j.Payload)] = true
		}
	}
	p.hand = nil
}

func (w *world) ack(call store.Call, jobs []store.Held) error {
	var done []store.Done
	for _, j := range jobs {
		done = append(done, store.Done{Token: j.Token})
	}
	return w.st.Ack(context.Background(), call, done...)
}

func (w *world) requeue(call store.Call, jobs []store.Held) error {
	return w.st.Requeue(context.Background(), call, laters(jobs)...)
}

func laters(jobs []store.Held) (back []store.Later) {
	for _, j := range jobs {
		back = append(back, store.Later{Token: j.Token})
	}
	return back
}

// beat renews p's lease, drops what is no longer p's, and gives back what p does not
// know of.
func (w *world) beat(p *proc) {
	var known []store.Token
	for _, j := range p.hand {
		known = append(known, j.Token)
	}
	var o store.Orders
	p.beats++
	w.send(fmt.Sprintf("beat %d of %s", p.beats, p.id), func() {
		var err error
		o, err = w.st.Beat(context.Background(), store.Presence{ID: p.id, Known: known}, lease)
		if p.left != errors.Is(err, store.ErrLeft) {
			w.fail("beat of %s, left %v: %v", p.id, p.left, err)
		}
		p.silent = p.silent && !p.lives()
	})
	p.rescued = false
	p.hand = slices.DeleteFunc(p.hand, func(j store.Held) bool { return slices.Contains(o.Gone, j.Token) })
	if len(o.Unknown) > 0 {
		hand := p.hand
		p.hand = o.Unknown
		w.decide(p, false, w.requeue, false)
		p.hand = hand
	}
}

// leave says goodbye; deaf jobs go on.
func (w *world) leave(p *proc, deaf bool) {
	hand := p.hand
	w.decide(p, true, func(call store.Call, jobs []store.Held) error {
		f := store.Farewell{ID: p.id}
		for _, j := range jobs {
			if deaf {
				f.Deaf = append(f.Deaf, j.Token)
			} else {
				f.Back = append(f.Back, store.Later{Token: j.Token})
			}
		}
		return w.st.Leave(context.Background(), call, f)
	}, false)
	p.left, p.deaf, p.silent = true, deaf, true
	if deaf {
		p.hand = hand
	}
}

// suspect is what a neighbour sends that finds p's doorbell down. p beats from then
// on until a beat is answered that it sent when the bell was back.
func (w *world) suspect(p *proc) {
	p.mute = true
	w.send("suspicion of "+string(p.id), func() {
		w.st.Suspect(context.Background(), p.id, suspicion)
	})
}

// moment lets more time go by than a suspicion leaves. Whoever is well beats in time.
func (w *world) moment() {
	for range 3 {
		w.clock.Pass(suspicion * 2 / 3)
		for _, p := range []*proc{w.a, w.b} {
			if !p.lives() || p.silent {
				continue
			}
			if o, err := w.st.Beat(context.Background(), store.Presence{ID: p.id}, lease); err != nil || o.Renewed {
				w.fail("the lease of %s ended between two of its beats: %+v, %v", p.id, o, err)
			}
		}
	}
}

// look is the first half of a rescue, and rescue, which may come late, the second.
func (w *world) look(dead ...store.Identity) {
	if w.a.dead {
		dead = append(dead, w.a.id)
	}
	w.lost, _ = w.st.Orphans(context.Background(), 10, dead...)
}

func (w *world) rescue() {
	for _, l := range w.lost {
		var jobs []store.Rescued
		again := false
		for _, j := range l.Jobs {
			jobs = append(jobs, store.Rescued{Token: j.Token, Was: j.Payload})
		}
		w.send("rescue of "+string(l.ID), func() {
			n, _ := w.st.Rescue(context.Background(), store.Salvage{ID: l.ID, Cause: l.Cause, Seen: l.Seen, Jobs: jobs})
			if again && n > 0 {
				w.fail("a late copy of a rescue moved %d jobs of %s", n, l.ID)
			}
			again = true
			for _, p := range []*proc{w.a, w.b} {
				switch {
				case p.id != l.ID:
				case l.Cause == store.Witnessed:
					p.silent, p.rescued = true, true // a mistake, if it lives
				case n > 0:
					if p.rescued = true; !p.silent {
						w.fail("%d jobs are rescued from %s, which beats", n, p.id)
					}
				}
			}
		})
	}
}

// check counts where each job is, and balances the books.
func (w *world) check() {
	where := map[string]int{}
	for _, q := range []store.Query{{Place: store.Ready, Queue: "q"}, {Place: store.Keeping}} {
		for e, err := range w.st.Jobs(context.Background(), q) {
			if err != nil {
				w.fail("%v", err)
			}
			where[jid(e.Payload)]++
		}
	}
	for _, job := range []string{"1", "2"} {
		want := 1
		if w.acked[job] {
			want = 0
		}
		if where[job] != want {
			w.fail("job %s is in %d places, want %d", job, where[job], want)
		}
	}
	for _, p := range []*proc{w.a, w.b} {
		if n := w.held(p); p.left && !p.deaf && n > 0 {
			w.fail("%s has left, and still holds %d jobs", p.id, n)
		}
	}
	stats, err := w.st.Stats(context.Background())
	if err != nil || len(stats.Books) != 1 || stats.Books[0].Custody() != 0 || stats.Books[0].Arrivals() != 0 {
		w.fail("books %+v, %v", stats.Books, err)
	}
}

// settle lets everybody fall silent, and somebody else rescue.
func (w *world) settle() {
	w.clock.Pass(2 * lease)
	w.look()
	for _, p := range []*proc{w.a, w.b} {
		p.silent = true
	}
	w.rescue()
	if n := w.held(w.a) + w.held(w.b); n > 0 {
		w.fail("%d jobs are held by those who are gone, and nobody finds them", n)
	}
	w.check()
}

// step is something that may happen.
type step struct {
	name string
	can  func(w *world) bool
	do   func(w *world)
}

var steps = []step{
	{"a fetches", aLives, func(w *world) { w.ask(w.a, true, true) }},
	{"a fetches and hears nothing", aLives, func(w *world) { w.ask(w.a, true, false) }},
	{"a fetches, which is late", aLives, func(w *world) { w.ask(w.a, false, false) }},
	{"a acks", aHolds, func(w *world) { w.decide(w.a, false, w.ack, true) }},
	{"a acks twice", aHolds, func(w *world) { w.decide(w.a, true, w.ack, true) }},
	{"a requeues", func(w *world) bool { return aHolds(w) && !w.a.left }, func(w *world) { w.decide(w.a, true, w.requeue, false) }},
	{"a beats", func(w *world) bool { return !w.a.dead && !w.a.mute }, func(w *world) { w.beat(w.a) }},
	{"a leaves", aLives, func(w *world) { w.leave(w.a, false) }},
	{"a leaves, deaf", func(w *world) bool { return aLives(w) && aHolds(w) }, func(w *world) { w.leave(w.a, true) }},
	{"a dies", aLives, func(w *world) { w.a.dead, w.a.silent, w.a.hand = true, true, nil }},
	{"a is taken for dead", aLives, func(w *world) { w.a.silent = true; w.look(w.a.id) }},
	{"a's lease ends", aLives, func(w *world) { w.a.silent = true; w.clock.Pass(2 * lease); w.beat(w.b) }},
	{"a's bell goes down", func(w *world) bool { return aLives(w) && !w.a.mute }, func(w *world) { w.suspect(w.a) }},
	{"a's bell is back", func(w *world) bool { return aLives(w) && w.a.mute }, func(w *world) { w.a.mute = false; w.beat(w.a) }},
	{"a moment passes", always, func(w *world) { w.moment() }},
	{"b looks for orphans", always, func(w *world) { w.look() }},
	{"b rescues", func(w *world) bool { return len(w.lost) > 0 }, func(w *world) { w.rescue() }},
	{"b fetches", always, func(w *world) { w.ask(w.b, true, true) }},
	{"b acks", func(w *world) bool { return len(w.b.hand) > 0 }, func(w *world) { w.decide(w.b, false, w.ack, true) }},
}

func always(*world) bool   { return true }
func aLives(w *world) bool { return w.a.lives() }
func aHolds(w *world) bool { return len(w.a.hand) > 0 && !w.a.dead }

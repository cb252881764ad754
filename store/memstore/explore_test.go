package memstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

var depth = flag.Int("explore.depth", 5, "steps of each history that TestExplore goes through")

// TestExplore goes through every history of a few steps that two processes, a
// rescuer and a network can make of two jobs. The network loses requests and
// replies, and delivers any request a second time, however late. After each step
// every job must be in one place, unless it is acked; nobody may be given a job that
// another has in hand, unless that one's lease had ended; and a late copy of a fetch
// must take nothing.
func TestExplore(t *testing.T) {
	t.Parallel()
	var histories int
	replay := func(history []int) *world {
		w := newWorld()
		for _, i := range history {
			steps[i].do(w)
		}
		return w
	}
	var explore func(history []int)
	explore = func(history []int) {
		w := replay(history)
		w.check()
		if histories++; len(w.wrong) > 0 {
			var names []string
			for _, i := range history {
				names = append(names, steps[i].name)
			}
			t.Errorf("%s\n\tafter: %s", strings.Join(w.wrong, "\n\t"), strings.Join(names, "; "))
		}
		if len(history) == *depth {
			return
		}
		for i, s := range steps {
			if s.can(w) && !t.Failed() {
				explore(append(slices.Clip(history), i))
			}
		}
	}
	explore(nil)
	t.Logf("%d histories", histories)
}

const lease = 10 * time.Second

// world is one history.
type world struct {
	clock *clock
	st    *memstore.Store
	a, b  *proc
	late  []func() // requests that may arrive once more
	lost  []store.Lost
	acked map[string]bool
	wrong []string
}

// proc is what a process knows.
type proc struct {
	id             store.Identity
	fetch, verdict uint64 // last Seq
	arrived        uint64 // the highest Seq of a fetch that the store has seen
	hand           []store.Held
	given          map[store.Token]bool // back, or acked: never to be begun
	rescued, left  bool
}

func newWorld() *world {
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w := &world{
		clock: c, st: memstore.New(memstore.Options{Clock: c.Now}), acked: map[string]bool{},
		a: &proc{id: "a:1:0", given: map[store.Token]bool{}}, b: &proc{id: "b:1:0", given: map[store.Token]bool{}},
	}
	push := func() {
		w.st.Push(context.Background(), store.Call{By: "p:1:0", Lane: store.LanePush, Seq: 1},
			store.Item{JID: "1", Queue: "q", Payload: []byte("1")}, store.Item{JID: "2", Queue: "q", Payload: []byte("2")})
	}
	push()
	w.late = append(w.late, push)
	w.beat(w.a)
	w.beat(w.b)
	return w
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
	request := func() ([]store.Held, error) {
		jobs, _, err := w.st.Fetch(context.Background(), call, store.Plan{Strict: true, Queues: []store.Share{{Queue: "q"}}}, 1, 0)
		return jobs, err
	}
	w.late = append(w.late, func() {
		before := w.held(p)
		request()
		if call.Seq <= p.arrived && w.held(p) != before {
			w.fail("a late copy of fetch %d of %s took a job", call.Seq, p.id)
		}
		p.arrived = max(p.arrived, call.Seq)
	})
	if !arrives {
		return
	}
	p.arrived = p.fetch
	jobs, err := request()
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
	w.late = append(w.late, func() { send(call, jobs) })
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
	o, err := w.st.Beat(context.Background(), store.Presence{ID: p.id, Known: known}, lease)
	if p.left != errors.Is(err, store.ErrLeft) {
		w.fail("beat of %s, left %v: %v", p.id, p.left, err)
	}
	p.hand = slices.DeleteFunc(p.hand, func(j store.Held) bool { return slices.Contains(o.Gone, j.Token) })
	if len(o.Unknown) > 0 {
		hand := p.hand
		p.hand = o.Unknown
		w.decide(p, false, w.requeue, false)
		p.hand = hand
	}
	p.rescued = false
}

func (w *world) leave(p *proc) {
	w.decide(p, true, func(call store.Call, jobs []store.Held) error {
		return w.st.Leave(context.Background(), call, store.Farewell{ID: p.id, Back: laters(jobs)})
	}, false)
	p.left = true
}

// look is the first half of a rescue, and rescue, which may come late, the second.
func (w *world) look() {
	w.lost, _ = w.st.Orphans(context.Background(), 10)
}

func (w *world) rescue() {
	for _, l := range w.lost {
		var jobs []store.Rescued
		for _, j := range l.Jobs {
			jobs = append(jobs, store.Rescued{Token: j.Token, Was: j.Payload})
		}
		request := func() {
			n, _ := w.st.Rescue(context.Background(), store.Salvage{ID: l.ID, Cause: l.Cause, Seen: l.Seen, Jobs: jobs})
			for _, p := range []*proc{w.a, w.b} {
				p.rescued = p.rescued || p.id == l.ID && n > 0
			}
		}
		request()
		w.late = append(w.late, request)
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
	stats, err := w.st.Stats(context.Background())
	if err != nil || len(stats.Books) != 1 || stats.Books[0].Custody() != 0 || stats.Books[0].Arrivals() != 0 {
		w.fail("books %+v, %v", stats.Books, err)
	}
}

// step is something that may happen.
type step struct {
	name string
	can  func(w *world) bool
	do   func(w *world)
}

var steps = func() (all []step) {
	add := func(name string, can func(w *world) bool, do func(w *world)) { all = append(all, step{name, can, do}) }
	add("a fetches", func(w *world) bool { return !w.a.left }, func(w *world) { w.ask(w.a, true, true) })
	add("a fetches and hears nothing", func(w *world) bool { return !w.a.left }, func(w *world) { w.ask(w.a, true, false) })
	add("a fetches, which is late", func(w *world) bool { return !w.a.left }, func(w *world) { w.ask(w.a, false, false) })
	holds := func(w *world) bool { return len(w.a.hand) > 0 && !w.a.left }
	add("a acks", holds, func(w *world) { w.decide(w.a, false, w.ack, true) })
	add("a acks twice", holds, func(w *world) { w.decide(w.a, true, w.ack, true) })
	add("a requeues", holds, func(w *world) { w.decide(w.a, true, w.requeue, false) })
	add("a beats", func(*world) bool { return true }, func(w *world) { w.beat(w.a) })
	add("a leaves", func(w *world) bool { return !w.a.left }, func(w *world) { w.leave(w.a) })
	add("a's lease ends", func(*world) bool { return true }, func(w *world) { w.clock.Pass(2 * lease); w.beat(w.b) })
	add("b looks for orphans", func(*world) bool { return true }, func(w *world) { w.look() })
	add("b rescues", func(w *world) bool { return len(w.lost) > 0 }, func(w *world) { w.rescue() })
	add("b fetches", func(*world) bool { return true }, func(w *world) { w.ask(w.b, true, true) })
	add("b acks", func(w *world) bool { return len(w.b.hand) > 0 }, func(w *world) { w.decide(w.b, false, w.ack, true) })
	for i := range 4 {
		add(fmt.Sprintf("request %d arrives again", i), func(w *world) bool { return len(w.late) > i }, func(w *world) { w.late[i]() })
	}
	return all
}()

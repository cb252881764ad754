package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

// history is one as it is played, against a store and against the model.
type history struct {
	s        *suite
	m        *model
	procs    []*proc
	requests []func()         // all that were ever sent: any may arrive once more
	dead     []store.Identity // whose end somebody has witnessed
	losses   []loss           // that a rescuer has looked at
	jobs     int              // accepted so far
	dice     []byte           // what is left of the step
	story    []string
}

// proc is a process, and what it knows.
type proc struct {
	*process
	hand   []store.Held // jobs that it has been given and has not judged
	strays []store.Held // that its last beat told it of
	left   bool         // it only has deaf jobs to finish
	closed bool         // nothing it sends arrives any more
}

func (p *proc) String() string { return fmt.Sprint("process ", p.id.PID()) }

// loss is a lost process as a rescuer saw it.
type loss struct {
	store.Lost
	lease int // of the model, then
}

// wrong is what a history panics with when the store is not as modelled.
type wrong string

func (h *history) fail(format string, args ...any) { panic(wrong(fmt.Sprintf(format, args...))) }

func (h *history) must(err error) {
	if err != nil {
		h.fail("%v", err)
	}
}

func (h *history) equal(what string, got, want any) {
	if diff := gocmp.Diff(want, got); diff != "" {
		h.fail("%s (-want +got):\n%s", what, diff)
	}
}

// say adds to the story of the step.
func (h *history) say(format string, args ...any) {
	h.story[len(h.story)-1] += fmt.Sprintf(format, args...)
}

// roll returns a number below n, which the step decides.
func (h *history) roll(n int) int {
	if len(h.dice) == 0 || n == 0 {
		return 0
	}
	rolled := int(h.dice[0]) % n
	h.dice = h.dice[1:]
	return rolled
}

// one in n.
func (h *history) one(n int) bool { return h.roll(n) == n-1 }

func oneOf[T any](h *history, of ...T) T { return of[h.roll(len(of))] }

// some of them, and at least the first, where there is one.
func some[T any](h *history, of []T) []T {
	mask := h.roll(256)
	var chosen []T
	for i, e := range of {
		if i == 0 || mask>>(i%8)&1 == 1 {
			chosen = append(chosen, e)
		}
	}
	return chosen
}

// who is a process of which ok holds, or nil.
func (h *history) who(ok func(p *proc) bool) *proc {
	able := slices.DeleteFunc(slices.Clone(h.procs), func(p *proc) bool { return !ok(p) })
	if len(able) == 0 {
		return nil
	}
	return oneOf(h, able...)
}

func alive(p *proc) bool { return !p.left }
func busy(p *proc) bool  { return len(p.hand) > 0 }

// play plays a history, and says what the store did wrong, if it did, and when.
func play(t *testing.T, open func(t *testing.T) Instance, steps []byte) (story []string, failed wrong) {
	h := &history{s: bareSuite(t, open), m: newModel()}
	defer func() {
		story = h.story
		if v := recover(); v != nil {
			var ok bool
			if failed, ok = v.(wrong); !ok {
				panic(v)
			}
		}
	}()
	for step := range slices.Chunk(steps, stepSize) {
		h.dice = step[1:]
		h.story = append(h.story, "")
		kinds[kindOf(step)].do(h)
		if h.story[len(h.story)-1] == "" { // there was nobody to do it
			h.story = h.story[:len(h.story)-1]
			continue
		}
		h.compare()
	}
	h.settle()
	return h.story, ""
}

// send makes a call, which is send, and keeps it: it may arrive again. Where its
// reply is lost the call is repeated at once.
func (h *history) send(send func()) {
	h.requests = append(h.requests, send)
	send()
	if h.one(4) {
		h.say(", and again for want of a reply")
		send()
	}
}

// again lets a request arrive once more, or for the first time.
func (h *history) again() {
	if len(h.requests) == 0 {
		return
	}
	n := len(h.requests)
	n -= 1 + min(h.roll(n), h.roll(n)) // rather one of the last
	h.say("request %d arrives late", n)
	h.requests[n]()
}

// answered compares errors. What an older call than the last on its lane is told is
// nobody's business, since nobody waits for it.
func (h *history) answered(what string, got, want error) {
	missing, some := errors.AsType[*store.NotHeldError](want)
	told, too := errors.AsType[*store.NotHeldError](got)
	switch {
	case errors.Is(want, store.ErrStale):
	case some && too:
		h.equal(what+" found not held", slices.Sorted(slices.Values(told.Tokens)), slices.Sorted(slices.Values(missing.Tokens)))
	case !errors.Is(got, want):
		h.fail("%s was answered with %v, want %v", what, got, want)
	}
}

func (h *history) boot() {
	if len(h.procs) == 3 {
		return
	}
	p := &proc{process: h.s.stranger()}
	h.procs = append(h.procs, p)
	h.say("%s starts", p)
	h.beats(p, time.Hour)
}

func (h *history) beat() {
	if p := h.who(alive); p != nil {
		h.say("%s beats", p)
		h.beats(p, time.Hour)
	}
}

// beats is a beat of p, which forgets what it no longer holds.
func (h *history) beats(p *proc, ttl time.Duration) {
	known := tokens(p.hand)
	presence := p.presence(known...)
	presence.Groups[0].Queues = strict("q", "r").Queues
	var orders store.Orders
	h.send(func() {
		if p.closed {
			return
		}
		want := store.Orders{Paused: slices.Sorted(maps.Keys(h.m.paused))}
		if b := h.m.boots[p.id]; b != nil {
			want.Commands = b.commands
		}
		renewed, refused := h.m.beat(p.id)
		got, err := p.Beat(h.s.Context(), presence, ttl)
		h.answered("beat", err, refused)
		if refused != nil {
			return
		}
		want.Renewed = renewed
		for _, t := range known {
			if h.m.under(p.id, t) == "" {
				want.Gone = append(want.Gone, t)
			}
		}
		for _, jid := range h.m.heldBy(p.id) {
			if at := h.m.where[jid]; !slices.Contains(known, at.token) {
				want.Unknown = append(want.Unknown, store.Held{Token: at.token, Queue: at.queue, Payload: []byte(at.payload)})
			}
		}
		orders = got
		h.equal("orders", bare(got), bare(want))
		if ttl < time.Hour && !h.certain() {
			h.pass(p)
		}
	})
	p.hand = slices.DeleteFunc(p.hand, func(j store.Held) bool { return slices.Contains(orders.Gone, j.Token) })
	p.strays = orders.Unknown
}

// bare is o without stamps, and in one order.
func bare(o store.Orders) store.Orders {
	o.Look = 0
	o.Gone = slices.Sorted(slices.Values(o.Gone))
	o.Unknown = slices.SortedFunc(slices.Values(o.Unknown), func(a, b store.Held) int { return cmp.Compare(a.Token, b.Token) })
	for i := range o.Unknown {
		o.Unknown[i].Payload = []byte(unstamped(o.Unknown[i].Payload))
	}
	if len(o.Paused) == 0 {
		o.Paused = nil
	}
	if len(o.Commands) == 0 {
		o.Commands = nil
	}
	return o
}

// pass lets the shortest lease end, which p had.
func (h *history) pass(p *proc) {
	h.s.pass(2 * h.s.Tick)
	h.m.lapse(p.id)
}

// freeze stops p for longer than its lease: it goes on and knows nothing of it. Where
// a lease is a lock it cannot happen.
func (h *history) freeze() {
	if p := h.who(alive); p != nil && !h.certain() {
		h.say("%s is frozen while its lease ends", p)
		h.beats(p, h.s.Tick)
	}
}

func (h *history) certain() bool { return h.s.st.Describe().LeaseIsLock }

// suspect shortens a lease: by half, or so that it ends.
func (h *history) suspect() {
	p := h.who(func(*proc) bool { return true })
	if p == nil || p.left {
		return
	}
	if h.one(3) {
		h.say("%s is suspected", p)
		h.must(h.s.st.Suspect(h.s.Context(), p.id, time.Hour/2))
		if b := h.m.boots[p.id]; b != nil && !b.lapsed && !h.certain() {
			b.lease = h.m.tick()
		}
		return
	}
	h.say("%s is suspected, and its lease ends", p)
	h.must(h.s.st.Suspect(h.s.Context(), p.id, h.s.Tick))
	if h.certain() {
		h.s.pass(2 * h.s.Tick)
	} else {
		h.pass(p)
	}
}

// die is the end of p before the eyes of its parent, maybe with a verdict on its way
// that will arrive later, or never.
func (h *history) die() {
	p := h.who(func(*proc) bool { return true })
	if p == nil {
		return
	}
	h.say("%s dies", p)
	if busy(p) && h.one(2) {
		h.requests = append(h.requests, h.verdict(p))
		h.say(", its verdict under way")
	}
	h.dead = append(h.dead, p.id)
	h.drop(p)
}

func (h *history) drop(p *proc) {
	h.procs = slices.DeleteFunc(h.procs, func(other *proc) bool { return other == p })
}

// vanish is the end of p that nobody sees until its lease ends.
func (h *history) vanish() {
	p := h.who(alive)
	if p == nil {
		return
	}
	h.say("%s vanishes", p)
	h.beats(p, h.s.Tick)
	h.drop(p)
	if h.s.Crash != nil {
		h.s.Crash(h.s.T, p.Store)
		p.closed = true
		h.pass(p)
	}
	if h.m.boots[p.id] == nil {
		return
	}
	for deadline := time.Now().Add(patience); ; <-time.After(2 * time.Millisecond) {
		lost, err := h.s.st.Orphans(h.s.Context(), 100)
		h.must(err)
		if slices.ContainsFunc(lost, func(l store.Lost) bool { return l.ID == p.id }) {
			return
		}
		if time.Now().After(deadline) {
			h.fail("%s is not lost, although it has vanished", p.id)
		}
	}
}

// adopt takes over the order in which the store has put these jobs into their queues,
// where nobody promises one.
func (h *history) adopt(free []string) {
	for queue, line := range h.m.line {
		var order []string
		for e, err := range h.s.st.Jobs(h.s.Context(), store.Query{Place: store.Ready, Queue: queue}) {
			h.must(err)
			if jid := jidOf(e.Payload); slices.Contains(free, jid) {
				order = append(order, jid)
			}
		}
		for i, jid := range line {
			if len(order) > 0 && slices.Contains(free, jid) {
				line[i], order = order[0], order[1:]
			}
		}
	}
}

// compare looks everywhere: each job is in one place, the right one, and each queue
// in its order; the books say so; and the processes are those that there are.
func (h *history) compare() {
	ctx, seen := h.s.Context(), map[string]bool{}
	walk := func(q store.Query) (jids []string) {
		var last time.Time
		for e, err := range h.s.st.Jobs(ctx, q) {
			h.must(err)
			jid := jidOf(e.Payload)
			want, ok := h.m.where[jid]
			if !ok || seen[jid] {
				h.fail("%s is in %v, but should be %v, and is there %v", jid, q.Place, want, seen[jid])
			}
			if e.At.Before(last) {
				h.fail("%s is in %v after one of a later hour", jid, q.Place)
			}
			seen[jid], last = true, e.At
			got := want
			got.place, got.queue, got.payload, got.holder, got.at = e.Place, e.Queue, unstamped(e.Payload), e.Holder, e.At.UTC()
			if want.at.IsZero() { // an hour that the store has set
				want.at = got.at
				h.m.where[jid] = want
			}
			if got != want {
				h.fail("%s is %v, want %v", jid, got, want)
			}
			jids = append(jids, jid)
		}
		return jids
	}
	for _, queue := range []string{"q", "r"} {
		if got := walk(store.Query{Place: store.Ready, Queue: queue}); !slices.Equal(got, h.m.line[queue]) {
			h.fail("queue %s is %v, want %v", queue, got, h.m.line[queue])
		}
	}
	for _, place := range []store.Place{store.Scheduled, store.Retrying, store.Keeping, store.Dead} {
		walk(store.Query{Place: place})
	}
	for jid, at := range h.m.where {
		if !seen[jid] {
			h.fail("%s is nowhere, want %v", jid, at)
		}
	}
	st, err := h.s.st.Stats(ctx)
	h.must(err)
	h.equal("runs, failures", []int64{st.Processed, st.Failed}, []int64{h.m.ran, h.m.bad})
	for _, b := range st.Books {
		b.Shared = false
		h.equal("books", b, h.m.balanced(b.Queue))
		if b.Custody() != 0 || b.Arrivals() != 0 {
			h.fail("the books of %s do not balance: %+v", b.Queue, b)
		}
	}
	h.equal("processes", h.shown(), slices.Sorted(maps.Keys(h.m.boots)))
}

// shown is every process that people see.
func (h *history) shown() (ids []store.Identity) {
	processes, err := h.s.st.Processes(h.s.Context())
	h.must(err)
	for _, p := range processes {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

// settle ends all processes: whoever looks then brings every job back.
func (h *history) settle() {
	h.story = append(h.story, "in the end all die, and somebody looks")
	for _, p := range h.procs {
		h.dead = append(h.dead, p.id)
	}
	for id := range h.m.boots { // of those that a late request had registered again
		h.dead = append(h.dead, id)
	}
	h.looks(h.dead)
	for _, l := range h.losses {
		h.rescues(l, rescued(l.Lost, store.Ready))
	}
	h.compare()
	for jid, at := range h.m.where {
		if at.place == store.Keeping {
			h.fail("nobody brings %s back, which is %v", jid, at)
		}
	}
}

// told is a story to be read.
func told(story []string) string {
	var b strings.Builder
	for i, line := range story {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, line)
	}
	return b.String()
}

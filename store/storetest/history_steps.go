package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func (h *history) push() {
	n := h.roll(2)
	queue := []string{"q", "r"}[n]
	call := h.s.me.call(store.LanePush + n)
	its := items(queue, numbered(fmt.Sprintf("j%d.", h.jobs), 1+h.roll(3))...)
	h.jobs++
	var js []string
	for _, it := range its {
		js = append(js, it.JID)
	}
	to, accept, verb := spot{place: store.Ready, queue: queue}, h.s.st.Push, "pushed to"
	if h.one(3) {
		to.place, accept, verb = store.Scheduled, h.s.st.Schedule, "scheduled for"
		if to.due = h.one(2); !to.due {
			for i := range its {
				its[i].Delay = time.Hour
			}
		}
	}
	h.say("%v are %s %s", js, verb, queue)
	h.send(func() {
		repeated, refused := h.m.accept(call, to, js)
		results, err := accept(h.s.Context(), call, its...)
		h.answered("push", err, refused)
		for i := range results {
			h.equal("repeated", results[i].Repeated || refused != nil, repeated)
		}
	})
}

func (h *history) fetch() {
	p := h.who(alive)
	if p == nil {
		return
	}
	call, n := p.call(store.LaneFetch), 1+h.roll(3)
	plan := oneOf(h, strict("q", "r"), strict("r", "q"), strict("q"))
	plan.Strict = h.roll(2) == 0
	h.say("%s fetches %d of %v", p, n, plan)
	var heard []store.Held
	request := func() {
		if p.closed {
			return
		}
		repeated, refused := h.m.mayFetch(call)
		jobs, _, err := p.Fetch(h.s.Context(), call, plan, n, 0)
		h.answered("fetch", err, refused)
		switch {
		case refused != nil && len(jobs) > 0:
			h.fail("a fetch that is refused brings %v", jids(jobs))
		case refused != nil:
		case repeated:
			h.told(call, jobs)
		default:
			h.took(call, plan, n, jobs)
		}
		heard = jobs
	}
	switch h.roll(8) {
	case 6:
		h.say(", which does not arrive")
		h.requests = append(h.requests, request)
		return
	case 7:
		h.say(", and hears nothing")
		h.requests = append(h.requests, request)
		request()
		return
	}
	h.send(request)
	h.say(": %v", jids(heard))
	p.hand = append(p.hand, heard...)
}

// told checks the answer to a fetch that was asked before: what is still held of it,
// or a part of that where later ones were asked, since nobody waits for it.
func (h *history) told(call store.Call, jobs []store.Held) {
	for _, j := range jobs {
		jid := jidOf(j.Payload)
		if at := h.m.where[jid]; at.fetch != call || at.token != j.Token {
			h.fail("a late fetch brings %s, which is %v", jid, at)
		}
	}
	if _, late := h.m.answered(call); late != nil {
		return
	}
	var want []string
	for _, jid := range h.m.heldBy(call.By) {
		if h.m.where[jid].fetch == call {
			want = append(want, jid)
		}
	}
	h.equal("what a fetch brings again", sorted(jids(jobs)), sorted(want))
}

// took checks what a fetch has brought against the plan, and takes it over.
func (h *history) took(call store.Call, plan store.Plan, n int, jobs []store.Held) {
	ready := func(queue string) []string {
		if h.m.paused[queue] {
			return nil
		}
		return h.m.line[queue]
	}
	for _, j := range jobs {
		line := ready(j.Queue)
		if jid := jidOf(j.Payload); len(line) == 0 || line[0] != jid || h.m.where[jid].payload != unstamped(j.Payload) {
			h.fail("%s was fetched from %s: %s\nwhere there should be %v", jid, j.Queue, j.Payload, line)
		}
		for _, q := range plan.Queues {
			if q.Queue == j.Queue {
				break
			}
			if plan.Strict && len(ready(q.Queue)) > 0 {
				h.fail("%s was fetched before %v, against the plan %v", jidOf(j.Payload), ready(q.Queue), plan)
			}
		}
		h.m.take(call, j.Queue, j.Token)
	}
	for _, q := range plan.Queues {
		if len(jobs) < n && len(ready(q.Queue)) > 0 {
			h.fail("%d jobs were fetched and %v left behind, although %d were asked for", len(jobs), ready(q.Queue), n)
		}
	}
	if len(jobs) > n {
		h.fail("%d jobs were fetched, which is more than %d", len(jobs), n)
	}
}

// judge gives a verdict on some of what a process has in hand.
func (h *history) judge() {
	if p := h.who(busy); p != nil {
		h.send(h.verdict(p))
	}
}

// verdict makes one up. The process has done with the jobs, whatever comes of it.
func (h *history) verdict(p *proc) (request func()) {
	jobs := some(h, p.hand)
	call := p.verdict()
	kind := oneOf(h, "acks", "acks", "retries", "buries", "requeues", "saves")
	done, later := make([]store.Done, len(jobs)), make([]store.Later, len(jobs))
	outcome, set, failed := store.Outcome(h.roll(3)), oneOf(h, store.Retrying, store.Scheduled), h.one(2)
	delay, queue := oneOf(h, 0, time.Hour), oneOf(h, "", "", "q", "r")
	if kind == "requeues" && slices.ContainsFunc(jobs, func(j store.Held) bool { return j.Queue != jobs[0].Queue }) {
		queue = "" // of several queues, they would have no order in one
	}
	for i, j := range jobs {
		done[i] = store.Done{Token: j.Token, Outcome: outcome, Failed: failed}
		later[i] = store.Later{Token: j.Token, Set: set, Delay: delay, Queue: queue, Failed: failed}
		if kind == "requeues" || kind == "saves" {
			later[i].Set, later[i].Delay, later[i].Failed = 0, 0, false
		}
		if kind == "saves" {
			later[i].Queue = ""
		}
		if jid := jidOf(j.Payload); queue != "" || h.m.touched(jid) || i%2 == 0 {
			later[i].Payload = payload(jid, cmp.Or(later[i].Queue, j.Queue), h.m.tick())
		}
	}
	h.say("%s %s %v", p, kind, jids(jobs))
	if kind != "saves" {
		p.hand = slices.DeleteFunc(p.hand, func(j store.Held) bool { return slices.Contains(tokens(jobs), j.Token) })
	}
	if p.left && len(p.hand) == 0 {
		h.drop(p)
	}
	return func() {
		if p.closed {
			return
		}
		err := h.give(p, kind, call, done, later)
		h.answered("verdict", err, h.m.verdict(call, tokens(jobs), func(i int, jid string) { h.m.judge(kind, jid, done[i], later[i]) }))
	}
}

func (h *history) give(p *proc, kind string, call store.Call, done []store.Done, later []store.Later) error {
	switch ctx := h.s.Context(); kind {
	case "acks":
		return p.Ack(ctx, call, done...)
	case "retries":
		return p.Retry(ctx, call, later...)
	case "buries":
		return p.Bury(ctx, call, later...)
	case "requeues":
		return p.Requeue(ctx, call, later...)
	default:
		return p.Checkpoint(ctx, call, later...)
	}
}

// giveBack is what a process does with jobs that it holds and does not know.
func (h *history) giveBack() {
	p := h.who(func(p *proc) bool { return alive(p) && len(p.strays) > 0 })
	if p == nil {
		return
	}
	strays, call := p.strays, p.verdict()
	p.strays = nil
	later := laters(strays)
	for i, j := range strays {
		later[i].Payload = payload(jidOf(j.Payload), j.Queue, h.m.tick())
	}
	h.say("%s gives back %v, which it does not know", p, jids(strays))
	h.send(func() {
		if p.closed {
			return
		}
		err := p.Requeue(h.s.Context(), call, later...)
		h.answered("give-back", err, h.m.verdict(call, tokens(strays), func(i int, jid string) { h.m.requeue(jid, later[i]) }))
	})
}

// leave says goodbye: some jobs have returned, some are deaf, some it does not name.
func (h *history) leave() {
	p := h.who(alive)
	if p == nil {
		return
	}
	f := store.Farewell{ID: p.id, Report: store.StopReport{ID: p.id}}
	var deaf []store.Held
	for _, j := range p.hand {
		switch jid := jidOf(j.Payload); h.roll(3) {
		case 0:
			f.Back = append(f.Back, store.Later{Token: j.Token, Payload: payload(jid, j.Queue, h.m.tick())})
		case 1:
			f.Deaf = append(f.Deaf, j.Token)
			deaf = append(deaf, j)
		}
	}
	call := p.verdict()
	h.say("%s leaves, of %v %v deaf", p, jids(p.hand), jids(deaf))
	p.hand, p.left = deaf, true
	if len(deaf) == 0 {
		h.drop(p)
	}
	h.send(func() {
		if p.closed {
			return
		}
		unnamed, refused := h.m.leave(call, f)
		h.answered("leave", p.Leave(h.s.Context(), call, f), refused)
		h.adopt(unnamed)
	})
}

func (h *history) promote() {
	var due []string
	for jid, at := range h.m.where {
		if at.due && (at.place == store.Scheduled || at.place == store.Retrying) {
			due = append(due, jid)
		}
	}
	h.say("%d jobs are promoted", len(due))
	moved, _, err := h.s.st.Promote(h.s.Context(), store.Promotion{By: h.s.me.id})
	h.must(err)
	h.equal("promoted", moved, len(due))
	was := map[string]spot{}
	for _, jid := range due {
		at := h.m.where[jid]
		was[jid] = at
		h.m.put(jid, spot{place: store.Ready, queue: at.queue, payload: at.payload, moved: h.m.tick()}, false)
	}
	h.adopt(due)
	for _, line := range h.m.line {
		last := map[store.Place]time.Time{}
		for _, jid := range line {
			if at := was[jid]; at.at.Before(last[at.place]) {
				h.fail("%s was promoted after one of a later hour", jid)
			} else {
				last[at.place] = at.at
			}
		}
	}
}

func (h *history) look() {
	h.say("somebody looks for orphans")
	h.looks(h.dead)
	h.say(": %d", len(h.losses))
}

// mistake takes a living process for dead, and all that it holds away from it.
func (h *history) mistake() {
	p := h.who(alive)
	if p == nil {
		return
	}
	h.say("%s is taken for dead", p)
	h.looks(append(slices.Clip(h.dead), p.id))
	for _, l := range h.losses {
		if l.ID != p.id {
			continue
		}
		jobs := rescued(l.Lost, store.Ready)
		for i, j := range l.Jobs {
			if jid := jidOf(j.Payload); h.m.touched(jid) {
				jobs[i].Payload = payload(jid, j.Queue, h.m.tick())
			}
		}
		h.rescues(l, jobs)
	}
}

func (h *history) looks(dead []store.Identity) {
	lost, err := h.s.st.Orphans(h.s.Context(), 100, dead...)
	h.must(err)
	want := map[store.Identity]store.Cause{}
	for id, b := range h.m.boots {
		switch {
		case slices.Contains(dead, id):
			want[id] = store.Witnessed
		case b.left: // its lease ends in half a second
		case b.lapsed:
			want[id] = store.Lapsed
		}
	}
	h.losses = nil
	got := map[store.Identity]store.Cause{}
	for _, l := range lost {
		if l.Cause != store.Left {
			got[l.ID] = l.Cause
		}
		b, known := h.m.boots[l.ID]
		if !known {
			h.fail("%s is lost, but not known", l.ID)
		}
		h.equal("what "+string(l.ID)+" held", sorted(jids(l.Jobs)), sorted(h.m.heldBy(l.ID)))
		h.losses = append(h.losses, loss{l, b.lease})
	}
	h.equal("lost", got, want)
}

// rescue acts on a loss that was seen, be it long ago.
func (h *history) rescue() {
	if len(h.losses) == 0 {
		return
	}
	l := oneOf(h, h.losses...)
	jobs := rescued(l.Lost, oneOf(h, store.Ready, store.Ready, store.Ready, store.Scheduled, store.Retrying, store.Dead))
	delay := oneOf(h, 0, time.Hour)
	for i, j := range l.Jobs {
		jobs[i].Delay = delay
		if jid := jidOf(j.Payload); h.m.touched(jid) || h.one(2) {
			jobs[i].Payload = payload(jid, j.Queue, h.m.tick())
		}
	}
	h.say("process %d is rescued from, %s: %v", l.ID.PID(), l.Cause, jids(l.Jobs))
	h.rescues(l, jobs)
}

func (h *history) rescues(l loss, jobs []store.Rescued) {
	h.send(func() {
		want := h.m.rescue(l.ID, l.lease, l.Cause == store.Witnessed, jobs)
		moved, err := h.s.st.Rescue(h.s.Context(), salvage(l.Lost, jobs...))
		h.must(err)
		h.equal("rescued", moved, want)
		// A dead process that a late beat has registered again may be forgotten again.
		if l.Cause == store.Witnessed && len(h.m.heldBy(l.ID)) == 0 && !slices.Contains(h.shown(), l.ID) {
			h.m.forget(l.ID)
		}
	})
}

// picked are up to three jobs of one queue that are not held, wherever they are: a
// call that touches several queues has no order between them in a store that is
// spread over machines.
func (h *history) picked() (jids []string, picks []store.Pick) {
	queue := []string{"q", "r"}[h.roll(2)]
	for jid, at := range h.m.where {
		if at.queue == queue && at.place != store.Keeping {
			jids = append(jids, jid)
		}
	}
	slices.Sort(jids)
	if len(jids) == 0 {
		return nil, nil
	}
	from := h.roll(len(jids))
	jids = jids[from:min(len(jids), from+1+h.roll(3))]
	for _, jid := range jids {
		q := store.Query{Place: h.m.where[jid].place, JID: jid}
		if q.Place == store.Ready {
			q.Queue = queue
		}
		for e, err := range h.s.st.Jobs(h.s.Context(), q) {
			h.must(err)
			picks = append(picks, store.Pick{Key: e.Key})
		}
	}
	h.equal("picks", len(picks), len(jids))
	return jids, picks
}

func (h *history) changeName() string { return oneOf(h, "first", "second", "third") }

func (h *history) move() {
	name := h.changeName()
	jids, picks := h.picked()
	if len(jids) == 0 {
		return
	}
	place, queue := oneOf(h, store.Ready, store.Scheduled, store.Retrying, store.Dead), oneOf(h, "", "q", "r")
	kind := h.roll(2)
	h.say("%v are moved to %v of %q as %s", jids, place, queue, name)
	var to []spot
	for i, jid := range jids {
		n := h.m.tick()
		at := spot{place: place, queue: cmp.Or(queue, h.m.where[jid].queue), due: kind == 0}
		picks[i].Queue, picks[i].Payload, picks[i].Front = queue, payload(jid, at.queue, n), kind == 0
		if at.payload = string(picks[i].Payload); place != store.Ready && kind == 1 {
			picks[i].At = time.Unix(4_000_000_000, int64(n)*1000).UTC()
			at.at = picks[i].At
		}
		to = append(to, at)
	}
	moved, err := h.s.st.Move(h.s.Context(), undoable(name), place, picks...)
	h.must(err)
	h.equal("moved", moved, len(jids))
	for i, jid := range jids {
		h.m.change(name, jid, to[i], kind == 0)
	}
}

func (h *history) delete() {
	name := h.changeName()
	jids, picks := h.picked()
	if len(jids) == 0 {
		return
	}
	h.say("%v are deleted as %s", jids, name)
	deleted, err := h.s.st.Delete(h.s.Context(), undoable(name), picks...)
	h.must(err)
	h.equal("deleted", deleted, len(jids))
	for _, jid := range jids {
		h.m.change(name, jid, spot{}, false)
	}
}

func (h *history) undo() {
	name, max := h.changeName(), 1+h.roll(4)
	h.say("%d of %s are undone", max, name)
	got, err := h.s.st.Undo(h.s.Context(), name, max)
	h.must(err)
	h.equal("undone", got, h.m.undo(name, max))
}

func (h *history) pause() {
	queue := []string{"q", "r"}[h.roll(2)]
	paused := !h.m.paused[queue]
	h.say("%s is paused: %v", queue, paused)
	h.must(h.s.st.Pause(h.s.Context(), queue, paused))
	if delete(h.m.paused, queue); paused {
		h.m.paused[queue] = true
	}
}

func (h *history) command() {
	// One that was forgotten may take a few beats to be seen again.
	p := h.who(func(p *proc) bool { b := h.m.boots[p.id]; return b != nil && !b.lapsed && !b.again })
	if p == nil {
		return
	}
	c := store.Command{Verb: oneOf(h, store.Quiet, store.Resume, store.Dump)}
	h.say("%s is told to %s", p, c.Verb)
	h.must(h.s.st.Command(h.s.Context(), p.id, c))
	b := h.m.boots[p.id]
	b.commands = append(b.commands, c)
}

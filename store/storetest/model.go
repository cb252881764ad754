package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// model is what a store must do, written down as simply as can be: no batches that
// fail half way, no clock, and every job is one value in one map.
type model struct {
	clock int                 // of moves
	where map[string]spot     // by jid; absent: nowhere
	line  map[string][]string // the jids of a queue, from its front
	books map[string]*store.Books
	ran   int64 // runs that ended
	bad   int64 // of those, and of others: that failed

	boots     map[store.Identity]*boot
	left      map[store.Identity]bool // for good
	forgotten map[store.Identity]bool // by a rescue
	lanes     map[lane]answer
	paused    map[string]bool
	done      map[string][]stepBack // by change
}

// spot is where and how a job is; the zero value is nowhere.
type spot struct {
	place   store.Place
	queue   string
	payload string    // without its stamp
	at      time.Time // of a set; zero: as the store says when it is next looked at
	due     bool      // of a set: its hour has come, or never will
	moved   int       // when it came here; Undo goes back to the one before
	holder  store.Identity
	token   store.Token
	fetch   store.Call
}

func (at spot) String() string {
	if at == (spot{}) {
		return "nowhere"
	}
	text := fmt.Sprintf("%v in %s: %s", at.place, at.queue, at.payload)
	if at.place == store.Keeping {
		text += " by " + string(at.holder)
	} else if at.place != store.Ready {
		text += " at " + at.at.UTC().Format(time.RFC3339Nano)
	}
	return text
}

// boot is a registered process.
type boot struct {
	again    bool // it was forgotten once
	lapsed   bool
	left     bool // deaf jobs behind
	lease    int  // changes with the lease
	commands []store.Command
}

type lane struct {
	by store.Identity
	no int
}

type answer struct {
	seq uint64
	err error
}

// stepBack is what Undo must know of one move.
type stepBack struct {
	jid       string
	was, left spot
}

func newModel() *model {
	return &model{
		where: map[string]spot{}, line: map[string][]string{}, books: map[string]*store.Books{},
		boots: map[store.Identity]*boot{}, left: map[store.Identity]bool{}, forgotten: map[store.Identity]bool{}, lanes: map[lane]answer{},
		paused: map[string]bool{}, done: map[string][]stepBack{},
	}
}

func (m *model) book(queue string) *store.Books {
	if m.books[queue] == nil {
		m.books[queue] = &store.Books{Queue: queue}
	}
	return m.books[queue]
}

// put puts a job where to says, in a queue at its front or back, and takes it from
// where it was.
func (m *model) put(jid string, to spot, front bool) {
	if was := m.where[jid]; was.queue != "" && was.place == store.Ready {
		m.line[was.queue] = slices.DeleteFunc(m.line[was.queue], func(other string) bool { return other == jid })
	}
	delete(m.where, jid)
	if to.queue == "" {
		return
	}
	m.where[jid] = to
	if to.place == store.Ready {
		at := len(m.line[to.queue])
		if front {
			at = 0
		}
		m.line[to.queue] = slices.Insert(m.line[to.queue], at, jid)
	}
}

// tick numbers a move.
func (m *model) tick() int {
	m.clock++
	return m.clock
}

// rehome counts a job that goes on in another queue.
func (m *model) rehome(from, to string) {
	if from != to {
		m.book(from).Moved++
		m.book(to).Accepted++
	}
}

// answered tells what call, or a later one on its lane, was answered with.
func (m *model) answered(call store.Call) (bool, error) {
	last := m.lanes[lane{call.By, call.Lane}]
	if call.Seq < last.seq {
		return true, store.ErrStale
	}
	return call.Seq == last.seq, last.err
}

func (m *model) remember(call store.Call, err error) error {
	m.lanes[lane{call.By, call.Lane}] = answer{call.Seq, err}
	return err
}

// accept is Push and Schedule.
func (m *model) accept(call store.Call, to spot, jids []string) (repeated bool, err error) {
	if repeated, err = m.answered(call); repeated {
		return repeated, err
	}
	for _, jid := range jids {
		to.moved, to.payload = m.tick(), string(payload(jid, to.queue, 0))
		m.book(to.queue).Accepted++
		m.put(jid, to, false)
	}
	return false, m.remember(call, nil)
}

// heldBy returns the jids that a process holds, in the order in which it took them.
func (m *model) heldBy(id store.Identity) []string {
	var jids []string
	for jid, at := range m.where {
		if at.place == store.Keeping && at.holder == id {
			jids = append(jids, jid)
		}
	}
	slices.SortFunc(jids, func(a, b string) int { return m.where[a].moved - m.where[b].moved })
	return jids
}

// under returns the jid of what a process holds under a token, or "".
func (m *model) under(id store.Identity, t store.Token) string {
	for _, jid := range m.heldBy(id) {
		if m.where[jid].token == t {
			return jid
		}
	}
	return ""
}

// mayFetch says whether a fetch is refused, or is one that takes nothing more.
func (m *model) mayFetch(call store.Call) (repeated bool, err error) {
	if m.left[call.By] {
		return false, store.ErrLeft
	}
	repeated, _ = m.answered(call)
	if !repeated {
		m.remember(call, nil) // whatever the answer
	}
	if b := m.boots[call.By]; b == nil || b.lapsed {
		return repeated, store.ErrLeaseLost
	}
	return repeated, nil
}

// take is the rest of a fetch: the next job of a queue goes into a process's keeping.
func (m *model) take(call store.Call, queue string, t store.Token) {
	jid := m.line[queue][0]
	at := m.where[jid]
	at.place, at.moved, at.holder, at.token, at.fetch = store.Keeping, m.tick(), call.By, t, call
	m.put(jid, at, false)
	m.book(queue).Fetched++
}

// verdict gives each token's job to move, and names the tokens that are not held. The
// last moves first, so that of those that go back the first is foremost.
func (m *model) verdict(call store.Call, tokens []store.Token, move func(i int, jid string)) error {
	if repeated, err := m.answered(call); repeated {
		return err
	}
	var missing []store.Token
	for i, t := range slices.Backward(tokens) {
		if jid := m.under(call.By, t); jid != "" {
			move(i, jid)
		} else {
			missing = append(missing, t)
		}
	}
	return m.remember(call, store.NotHeld(missing))
}

// goOn takes a job out of keeping to a place, with another payload unless it is
// empty, and for another queue.
func (m *model) goOn(jid string, place store.Place, payload, queue string, due bool) {
	was := m.where[jid]
	to := spot{place: place, queue: was.queue, payload: was.payload, due: due, moved: m.tick()}
	if payload != "" {
		to.payload = payload
	}
	if queue != "" {
		m.rehome(was.queue, queue)
		to.queue = queue
	}
	m.put(jid, to, true)
}

func (m *model) ack(jid string, d store.Done) {
	b := m.book(m.where[jid].queue)
	*[...]*int64{&b.Done, &b.Discarded, &b.Expired}[d.Outcome]++
	m.count(d.Outcome != store.Expired, d.Failed)
	m.put(jid, spot{}, false)
}

// judge is what each verdict does to a job.
func (m *model) judge(kind, jid string, done store.Done, l store.Later) {
	b := m.book(m.where[jid].queue)
	switch kind {
	case "acks":
		m.ack(jid, done)
	case "retries":
		b.Retried++
		m.count(false, l.Failed)
		m.goOn(jid, l.Set, string(l.Payload), l.Queue, l.Delay == 0)
	case "buries":
		b.Buried++
		m.count(false, l.Failed)
		m.goOn(jid, store.Dead, string(l.Payload), l.Queue, false)
	case "requeues":
		m.requeue(jid, l)
	case "saves":
		if at := m.where[jid]; l.Payload != nil {
			at.payload = string(l.Payload)
			m.where[jid] = at
		}
	}
}

func (m *model) requeue(jid string, l store.Later) {
	m.book(m.where[jid].queue).Requeued++
	m.goOn(jid, store.Ready, string(l.Payload), l.Queue, false)
}

func (m *model) count(ended, failed bool) {
	if ended || failed {
		m.ran++
	}
	if failed {
		m.bad++
	}
}

func (m *model) beat(id store.Identity) (renewed bool, err error) {
	if m.left[id] {
		return false, store.ErrLeft
	}
	b := m.boots[id]
	renewed = b == nil || b.lapsed
	if b == nil {
		b = &boot{again: m.forgotten[id]}
		m.boots[id] = b
	}
	b.lapsed, b.lease, b.commands = false, m.tick(), nil
	return renewed, nil
}

// lapse ends a lease, if there is one.
func (m *model) lapse(id store.Identity) {
	if b := m.boots[id]; b != nil && !b.lapsed {
		b.lapsed, b.lease = true, m.tick()
	}
}

// rescue moves what is still as it was seen, when the lease was lease.
func (m *model) rescue(id store.Identity, lease int, witnessed bool, jobs []store.Rescued) (moved int) {
	b := m.boots[id]
	if b == nil || b.lease != lease && !witnessed {
		return 0
	}
	for _, r := range slices.Backward(jobs) {
		jid := m.under(id, r.Token)
		if jid == "" || m.where[jid].payload != unstamped(r.Was) {
			continue
		}
		m.book(m.where[jid].queue).Rescued++
		m.goOn(jid, r.To, unstamped(r.Payload), "", r.Delay == 0)
		moved++
	}
	if b.lease == lease && len(m.heldBy(id)) == 0 {
		m.forget(id)
	}
	return moved
}

func (m *model) forget(id store.Identity) {
	m.forgotten[id] = true
	delete(m.boots, id)
}

// leave also returns the jobs that went back unnamed.
func (m *model) leave(call store.Call, f store.Farewell) (unnamed []string, err error) {
	if repeated, err := m.answered(call); repeated {
		return nil, err
	}
	if m.left[f.ID] {
		return nil, store.ErrLeft
	}
	m.left[f.ID] = true
	named := slices.Clone(f.Deaf)
	for _, l := range f.Back {
		named = append(named, l.Token)
	}
	for _, jid := range slices.Backward(m.heldBy(f.ID)) {
		if !slices.Contains(named, m.where[jid].token) {
			m.requeue(jid, store.Later{})
			unnamed = append(unnamed, jid)
		}
	}
	var missing []store.Token
	for _, l := range slices.Backward(f.Back) {
		if jid := m.under(f.ID, l.Token); jid != "" {
			m.requeue(jid, l)
		} else {
			missing = append(missing, l.Token)
		}
	}
	if b := m.boots[f.ID]; b != nil && len(m.heldBy(f.ID)) > 0 {
		b.left, b.lapsed, b.lease, b.commands = true, true, m.tick(), nil
	} else {
		delete(m.boots, f.ID)
	}
	return unnamed, m.remember(call, store.NotHeld(missing))
}

// change moves a job by hand, or deletes it where to is nowhere.
func (m *model) change(name, jid string, to spot, front bool) {
	was := m.where[jid]
	step := stepBack{jid: jid, was: was}
	if to.queue == "" {
		m.book(was.queue).Deleted++
	} else {
		to.moved = m.tick()
		m.rehome(was.queue, to.queue)
	}
	step.left = to
	m.done[name] = append(m.done[name], step)
	m.put(jid, to, front)
}

func (m *model) undo(name string, max int) (u store.Undone) {
	for ; max > 0 && len(m.done[name]) > 0; max-- {
		steps := m.done[name]
		last := steps[len(steps)-1]
		m.done[name] = steps[:len(steps)-1]
		if m.where[last.jid].moved != last.left.moved {
			u.Passed++
			continue
		}
		if last.left.queue == "" {
			m.book(last.was.queue).Deleted--
		} else if last.left.queue != last.was.queue {
			m.book(last.was.queue).Moved--
			m.book(last.left.queue).Accepted--
		}
		m.put(last.jid, last.was, true)
		u.Back++
	}
	u.More = len(m.done[name]) > 0
	return u
}

// touched reports whether a change that may be undone has moved a job. A store may
// tell whether such a one has moved on since by its payload.
func (m *model) touched(jid string) bool {
	for _, steps := range m.done {
		if slices.ContainsFunc(steps, func(s stepBack) bool { return s.jid == jid }) {
			return true
		}
	}
	return false
}

// balanced returns the books of a queue, with where its jobs are now.
func (m *model) balanced(queue string) store.Books {
	b := *m.book(queue)
	for _, at := range m.where {
		if at.queue == queue {
			*[...]*int64{&b.Waiting, &b.Scheduled, &b.Retrying, &b.Held, &b.Dead}[at.place]++
		}
	}
	return b
}

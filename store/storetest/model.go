package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// model is what moves by hand and their undoing must make of a store. Each move
// leaves a payload and an hour of its own, so that a job that has moved on is never
// as it was by chance.
type model struct {
	where  map[string]spot // by jid; absent: nowhere
	queues map[string][]string
	done   map[string][]stepBack // by change
	moves  int
}

// spot is where and how a job is; the zero value is nowhere.
type spot struct {
	place   store.Place
	queue   string
	payload string
	at      time.Time
}

func (at spot) String() string {
	return fmt.Sprintf("%v in %s, %s: %s", at.place, at.queue, at.at.Format(time.RFC3339Nano), at.payload)
}

// stepBack is what Undo must know of one move.
type stepBack struct {
	jid       string
	was, left spot
}

// put puts a job at the front or the back of its queue, or where its hour is.
func (m *model) put(jid string, to spot, front bool) {
	if was := m.where[jid]; was.queue != "" && was.place == store.Ready {
		q := m.queues[was.queue]
		m.queues[was.queue] = slices.DeleteFunc(q, func(other string) bool { return other == jid })
	}
	delete(m.where, jid)
	if to == (spot{}) {
		return
	}
	m.where[jid] = to
	if to.place == store.Ready {
		at := len(m.queues[to.queue])
		if front {
			at = 0
		}
		m.queues[to.queue] = slices.Insert(m.queues[to.queue], at, jid)
	}
}

func (m *model) change(name, jid string, to spot, front bool) {
	m.done[name] = append(m.done[name], stepBack{jid, m.where[jid], to})
	m.put(jid, to, front)
}

func (m *model) undo(name string, max int) (u store.Undone) {
	for ; max > 0 && len(m.done[name]) > 0; max-- {
		steps := m.done[name]
		last := steps[len(steps)-1]
		m.done[name] = steps[:len(steps)-1]
		if m.where[last.jid] != last.left {
			u.Passed++
			continue
		}
		m.put(last.jid, last.was, true)
		u.Back++
	}
	u.More = len(m.done[name]) > 0
	return u
}

// lines is every job by the model, each queue and each set in its order.
func (m *model) lines() []string {
	var lines []string
	for _, q := range []string{"q", "r"} {
		for _, jid := range m.queues[q] {
			lines = append(lines, fmt.Sprint(jid, " ", m.where[jid]))
		}
	}
	for _, place := range []store.Place{store.Scheduled, store.Retrying, store.Dead} {
		var set []string
		for jid, at := range m.where {
			if at.place == place {
				set = append(set, jid)
			}
		}
		slices.SortFunc(set, func(a, b string) int { return m.where[a].at.Compare(m.where[b].at) })
		for _, jid := range set {
			lines = append(lines, fmt.Sprint(jid, " ", m.where[jid]))
		}
	}
	return lines
}

// lines is every job by the store.
func (s *suite) lines() []string {
	s.Helper()
	var lines []string
	for _, q := range []store.Query{
		{Place: store.Ready, Queue: "q"}, {Place: store.Ready, Queue: "r"},
		{Place: store.Scheduled}, {Place: store.Retrying}, {Place: store.Dead},
	} {
		for _, e := range s.entries(q) {
			lines = append(lines, fmt.Sprint(jidOf(e.Payload), " ", spot{e.Place, e.Queue, unstamped(e.Payload), e.At.UTC()}))
		}
	}
	return lines
}

// asModelled does things by hand at random, to the store and to the model.
func (s *suite) asModelled(seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := &model{where: map[string]spot{}, queues: map[string][]string{}, done: map[string][]stepBack{}}
	p := s.process()
	push := func(jid string) {
		s.push("q", jid)
		m.put(jid, spot{store.Ready, "q", string(payload(jid, "q", 0)), time.Time{}}, false)
	}
	for _, jid := range numbered("j", 12) {
		push(jid)
	}
	for n := range steps {
		u := undoable([]string{"first", "second", "third"}[rng.IntN(3)])
		var what string
		switch rng.IntN(10) {
		case 0:
			jid := fmt.Sprint("new", n)
			what = "push " + jid
			push(jid)
		case 1:
			if q := []string{"q", "r"}[rng.IntN(2)]; len(m.queues[q]) > 0 {
				jobs := p.take(1, q)
				what = "ack " + jidOf(jobs[0].Payload)
				s.equal(jids(jobs), m.queues[q][:1])
				p.ack(jobs...)
				m.put(jidOf(jobs[0].Payload), spot{}, false)
			}
		case 2, 3, 4:
			max := 1 + rng.IntN(4)
			what = fmt.Sprintf("undo %d of %s", max, u.Change)
			s.undo(u.Change, max, m.undo(u.Change, max))
		case 5, 6:
			jids := m.some(rng)
			what = fmt.Sprintf("delete %v as %s", jids, u.Change)
			var es []store.Entry
			for _, jid := range jids {
				es = append(es, s.find(m.where[jid], jid))
				m.change(u.Change, jid, spot{}, false)
			}
			s.delete(u, es...)
		default:
			jids := m.some(rng)
			to := spot{place: []store.Place{store.Ready, store.Scheduled, store.Retrying, store.Dead}[rng.IntN(4)]}
			queue := []string{"", "q", "r"}[rng.IntN(3)]
			what = fmt.Sprintf("move %v to %v as %s", jids, to.place, u.Change)
			var ps []store.Pick
			for _, jid := range jids {
				m.moves++
				pick := store.Pick{Key: s.find(m.where[jid], jid).Key, Front: rng.IntN(2) == 0, Queue: queue}
				to.queue = cmp.Or(queue, m.where[jid].queue)
				pick.Payload = payload(jid, to.queue, m.moves)
				to.payload = string(pick.Payload)
				if to.place != store.Ready {
					pick.At = time.Unix(4_000_000_000+int64(rng.IntN(1_000_000)), int64(m.moves)*1000).UTC()
					to.at = pick.At
				}
				ps = append(ps, pick)
				m.change(u.Change, jid, to, pick.Front)
			}
			s.carry(u, to.place, ps...)
		}
		if got, want := s.lines(), m.lines(); !slices.Equal(got, want) {
			s.Logf("STORETEST_SEED=%d, step %d: %s", seed, n, what)
			s.equal(got, want)
		}
	}
}

// some are up to three jobs of one queue, wherever they are: a call that touches
// several has no order between them in a store that is spread over machines.
func (m *model) some(rng *rand.Rand) []string {
	queue := []string{"q", "r"}[rng.IntN(2)]
	var all []string
	for jid, at := range m.where {
		if at.queue == queue {
			all = append(all, jid)
		}
	}
	slices.Sort(all) // so that the seed decides
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), 1+rng.IntN(3))]
}

// find is the entry of the only job with that jid.
func (s *suite) find(at spot, jid string) store.Entry {
	s.Helper()
	q := store.Query{Place: at.place, JID: jid}
	if at.place == store.Ready {
		q.Queue = at.queue
	}
	es := s.entries(q)
	if len(es) != 1 {
		s.Fatalf("%d jobs %q in %v", len(es), jid, at.place)
	}
	return es[0]
}

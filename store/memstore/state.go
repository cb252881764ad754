package memstore

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// state is what all clients share.
type state struct {
	clock func() time.Time

	mu     sync.Mutex
	ticket uint64          // the last one given out
	jobs   map[uint64]*job // by ticket
	ready  map[string]*line
	sets   [store.Dead + 1]line // Scheduled, Retrying, Keeping and Dead
	paused map[string]bool
	wake   chan struct{} // closed when a job becomes ready; nil when nobody waits

	books     map[string]*store.Books
	processed int64
	failed    int64

	processes map[store.Identity]*process
	left      map[store.Identity]bool // for good
	lanes     map[lane]answer         // outlives rescue and Leave, so that late copies stay harmless
	stops     []stop                  // oldest first
	undos     map[string]*undo        // by change
	changes   []change                // in the order in which they were recorded

	told   map[store.Identity]*told
	points map[store.Step]map[time.Time]map[series]store.Runs
	marks  []store.Mark  // oldest first
	ended  []store.Ended // oldest first
}

// job is in exactly one line. Every move gives it a new ticket, so that whoever
// holds an old one (a token, a key) finds nothing, and a new version, to which Undo
// alone returns.
type job struct {
	ticket     uint64
	version    uint64
	place      store.Place
	rank       int64 // its order in its line, before the version
	at         time.Time
	jid, queue string
	payload    []byte
	fetch      store.Call // which took it, while it is held
}

// process is a registered process.
type process struct {
	store.Presence
	beat, until time.Time
	seen        uint64 // changes with every change of the lease
	left        bool   // it left deaf jobs behind
	unclaimed   bool   // Audit registered it
	commands    []store.Command
}

// lane is one lane of one boot.
type lane struct {
	by store.Identity
	no int
}

// answer is the last one given on a lane; of fetches, the last Seq asked for.
type answer struct {
	seq uint64
	err error
}

// line is a queue or a set, in order.
type line []*job

func order(a, b *job) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.version, b.version))
}

func (l *line) insert(j *job) {
	i, _ := slices.BinarySearchFunc(*l, j, order)
	*l = slices.Insert(*l, i, j)
}

func (l *line) remove(j *job) {
	i, _ := slices.BinarySearchFunc(*l, j, order)
	if i == 0 { // nearly always, and a queue may be long
		(*l)[0] = nil
		*l = (*l)[1:]
		return
	}
	*l = slices.Delete(*l, i, i+1)
}

func (s *state) nextTicket() uint64 {
	s.ticket++
	return s.ticket
}

func (s *state) line(place store.Place, queue string) *line {
	if place != store.Ready {
		return &s.sets[place]
	}
	l := s.ready[queue]
	if l == nil {
		l = new(line)
		s.ready[queue] = l
	}
	return l
}

// lift takes j out of its line. The caller puts it somewhere, or forgets it, before
// it unlocks.
func (s *state) lift(j *job) {
	s.line(j.place, j.queue).remove(j)
	delete(s.jobs, j.ticket)
	*s.count(j)--
	j.version = s.nextTicket()
}

// put is the only way into a line.
func (s *state) put(j *job, place store.Place, rank int64, at time.Time) {
	j.ticket, j.place, j.rank, j.at = s.nextTicket(), place, rank, at
	if place != store.Keeping {
		j.fetch = store.Call{}
	}
	s.line(place, j.queue).insert(j)
	s.jobs[j.ticket] = j
	*s.count(j)++
	if place == store.Ready {
		s.wakeAll()
	}
}

func (s *state) putBack(j *job) {
	var rank int64
	if l := *s.line(store.Ready, j.queue); len(l) > 0 {
		rank = l[len(l)-1].rank + 1
	}
	s.put(j, store.Ready, rank, s.clock())
}

func (s *state) putFront(j *job, at time.Time) {
	var rank int64
	if l := *s.line(store.Ready, j.queue); len(l) > 0 {
		rank = l[0].rank - 1
	}
	s.put(j, store.Ready, rank, at)
}

// putSet puts j into a set that is ordered by time.
func (s *state) putSet(j *job, place store.Place, at time.Time) {
	s.put(j, place, at.UnixMicro(), at)
}

// rehome makes queue the one where j, which has been lifted, runs next. In the
// books it leaves one queue and is accepted by the other.
func (s *state) rehome(j *job, queue string) {
	if queue == "" || queue == j.queue {
		return
	}
	s.book(j.queue).Moved++
	j.queue = queue
	s.book(queue).Accepted++
}

func (s *state) book(queue string) *store.Books {
	b := s.books[queue]
	if b == nil {
		b = &store.Books{Queue: queue}
		s.books[queue] = b
	}
	return b
}

// count is the number of jobs in j's place, in the books of its queue.
func (s *state) count(j *job) *int64 {
	b := s.book(j.queue)
	return [...]*int64{
		store.Ready: &b.Waiting, store.Scheduled: &b.Scheduled, store.Retrying: &b.Retrying,
		store.Keeping: &b.Held, store.Dead: &b.Dead,
	}[j.place]
}

// wakeAll wakes every Fetch that waits; each looks again.
func (s *state) wakeAll() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// answered tells whether call, or a later one on its lane, was answered before, and
// with what.
func (s *state) answered(call store.Call) (bool, error) {
	last := s.lanes[lane{call.By, call.Lane}]
	switch {
	case call.Seq == 0 || call.Seq > last.seq:
		return false, nil
	case call.Seq < last.seq:
		return true, store.ErrStale
	}
	return true, last.err
}

func (s *state) remember(call store.Call, err error) {
	if call.Seq != 0 {
		s.lanes[lane{call.By, call.Lane}] = answer{call.Seq, err}
	}
}

// A token or a key is the ticket in decimal.
func token(j *job) store.Token { return store.Token(strconv.FormatUint(j.ticket, 10)) }
func key(j *job) store.Key     { return store.Key(strconv.FormatUint(j.ticket, 10)) }

// find returns the job with that ticket, or nil.
func (s *state) find(ticket string) *job {
	n, err := strconv.ParseUint(ticket, 10, 64)
	if err != nil {
		return nil
	}
	return s.jobs[n]
}

// heldBy returns the job that by holds under t, or nil.
func (s *state) heldBy(by store.Identity, t store.Token) *job {
	if j := s.find(string(t)); j != nil && j.place == store.Keeping && j.fetch.By == by {
		return j
	}
	return nil
}

// allHeldBy returns what by holds, in the order in which it was taken.
func (s *state) allHeldBy(by store.Identity) []*job {
	var jobs []*job
	for _, j := range s.sets[store.Keeping] {
		if j.fetch.By == by {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

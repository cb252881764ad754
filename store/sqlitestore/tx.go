package sqlitestore

import (
	"sync"

	"github.com/ebbjobs/ebb/store"
)

// tx is what the calls of one transaction share.
type tx struct {
	session
	names     *names
	histories *histories
	now       int64
	full      bool // the reserve is spent: nothing new is accepted
	ready     bool // a job became ready

	books  map[int64]*tally
	last   int64           // highest number given out; 0: not read yet
	fronts map[int64]int64 // lowest place by queue, where it was asked for
	fresh  map[nameKey]int64
	after  []func()                    // once it is committed
	told   map[store.Identity]*history // nil: its process has left

	paused     []string
	pausedRead bool
}

// counter is a column of ebb_queue.
type counter int

// The first five stand in the order of store.Place.
const (
	waiting counter = iota
	scheduled
	retrying
	held
	dead
	accepted
	doneCount
	discarded
	expired
	deleted
	trimmed
	moved
	fetched
	retried
	buried
	requeued
	rescued
	processed
	failed
	counters
)

// tally is what a transaction adds to the books of one queue.
type tally [counters]int64

func (t *tx) count(queue int64, c counter, n int64) {
	b := t.books[queue]
	if b == nil {
		if t.books == nil {
			t.books = make(map[int64]*tally)
		}
		b = new(tally)
		t.books[queue] = b
	}
	b[c] += n
}

// enter counts a job into a place, exit out of it.
func (t *tx) enter(queue int64, p store.Place) { t.count(queue, counter(p), 1) }
func (t *tx) exit(queue int64, p store.Place)  { t.count(queue, counter(p), -1) }

// follow counts a job from a place in one queue to a place in another: one that
// changes queues is accepted by the other.
func (t *tx) follow(from int64, was store.Place, to int64, is store.Place) {
	t.exit(from, was)
	t.enter(to, is)
	if from != to {
		t.count(from, moved, 1)
		t.count(to, accepted, 1)
	}
}

var (
	addToBooks = statement(`UPDATE ebb_queue SET waiting = waiting + ?, scheduled = scheduled + ?, retrying = retrying + ?,
		held = held + ?, dead = dead + ?, accepted = accepted + ?, done = done + ?, discarded = discarded + ?, expired = expired + ?,
		deleted = deleted + ?, trimmed = trimmed + ?, moved = moved + ?, fetched = fetched + ?, retried = retried + ?, buried = buried + ?,
		requeued = requeued + ?, rescued = rescued + ?, processed = processed + ?, failed = failed + ? WHERE id = ?`)
	readLast  = statement("SELECT last FROM ebb_meta WHERE id = 1")
	writeLast = statement("UPDATE ebb_meta SET last = ? WHERE id = 1")
	readFront = statement("SELECT ord FROM ebb_job WHERE state = 0 AND queue = ? ORDER BY ord LIMIT 1")
)

// flush writes what was gathered. It is called once, before the commit.
func (t *tx) flush() error {
	for queue, b := range t.books {
		args := make([]any, 0, counters+1)
		for _, n := range b {
			args = append(args, n)
		}
		if _, err := t.exec(addToBooks, append(args, queue)...); err != nil {
			return err
		}
	}
	if t.last != 0 {
		if _, err := t.exec(writeLast, t.last); err != nil {
			return err
		}
	}
	return nil
}

// committed runs what waited for the commit.
func (t *tx) committed() {
	t.names.learn(t.fresh)
	t.histories.learn(t.told)
	for _, f := range t.after {
		f()
	}
}

// next is a number that no job and no place in a queue has had yet, above all others.
func (t *tx) next() (int64, error) {
	if t.last == 0 {
		if err := t.query(readLast, func(r []row) error { t.last = r[0].(int64); return nil }); err != nil {
			return 0, err
		}
	}
	t.last++
	return t.last, nil
}

// front is a place before all others in queue. Batches that go to the front in
// their order are walked from their end.
func (t *tx) front(queue int64) (int64, error) {
	first, ok := t.fronts[queue]
	if !ok {
		if err := t.query(readFront, func(r []row) error { first = r[0].(int64); return nil }, queue); err != nil {
			return 0, err
		}
		if t.fronts == nil {
			t.fronts = make(map[int64]int64)
		}
	}
	t.fronts[queue] = first - 1
	return first - 1, nil
}

// nameKey is a name in one of the tables that number names.
type nameKey struct {
	table nameTable
	name  string
}

type nameTable int

const (
	queueNames nameTable = iota
	kindNames
	bootNames
)

var nameStatements = [...]struct{ find, add stmt }{
	queueNames: {
		statement("SELECT id FROM ebb_queue WHERE name = ?"),
		statement("INSERT INTO ebb_queue(name) VALUES (?) RETURNING id"),
	},
	kindNames: {
		statement("SELECT id FROM ebb_kind WHERE name = ?"),
		statement("INSERT INTO ebb_kind(name) VALUES (?) RETURNING id"),
	},
	bootNames: {
		statement("SELECT id FROM ebb_boot WHERE name = ?"),
		statement("INSERT INTO ebb_boot(name) VALUES (?) RETURNING id"),
	},
}

var readQueueName = statement("SELECT name FROM ebb_queue WHERE id = ?")

// names remembers the numbers of queues, kinds and boots, which never change.
type names struct {
	mu      sync.RWMutex
	numbers map[nameKey]int64
	queues  map[int64]string
}

func (n *names) number(k nameKey) (int64, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.numbers[k]
	return id, ok
}

func (n *names) learn(fresh map[nameKey]int64) {
	if len(fresh) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.numbers == nil {
		n.numbers, n.queues = make(map[nameKey]int64), make(map[int64]string)
	}
	for k, id := range fresh {
		n.numbers[k] = id
		if k.table == queueNames {
			n.queues[id] = k.name
		}
	}
}

// number returns the number of name, and gives it one if add is set. 0: none. What
// this transaction gave out is known to others once it is committed.
func (t *tx) number(table nameTable, name string, add bool) (int64, error) {
	k := nameKey{table, name}
	if id, ok := t.fresh[k]; ok {
		return id, nil
	}
	if id, ok := t.names.number(k); ok {
		return id, nil
	}
	id := int64(0)
	err := t.query(nameStatements[table].find, func(r []row) error { id = r[0].(int64); return nil }, name)
	switch {
	case err != nil:
		return 0, err
	case id != 0:
		t.learn(k, id)
	case add:
		return t.giveNumber(table, name)
	}
	return id, nil
}

// giveNumber gives name a number, which it has not.
func (t *tx) giveNumber(table nameTable, name string) (id int64, err error) {
	if err := t.query(nameStatements[table].add, func(r []row) error { id = r[0].(int64); return nil }, name); err != nil {
		return 0, err
	}
	t.learn(nameKey{table, name}, id)
	return id, nil
}

func (t *tx) learn(k nameKey, id int64) {
	if t.fresh == nil {
		t.fresh = make(map[nameKey]int64)
	}
	t.fresh[k] = id
}

// queue returns the number of a queue, which is made if it is new.
func (t *tx) queue(name string) (int64, error) { return t.number(queueNames, name, true) }

// queueName is the name of a queue that has a number.
func (t *tx) queueName(id int64) (string, error) {
	t.names.mu.RLock()
	name, ok := t.names.queues[id]
	t.names.mu.RUnlock()
	if ok {
		return name, nil
	}
	err := t.query(readQueueName, func(r []row) error { name = r[0].(string); return nil }, id)
	if err == nil {
		t.learn(nameKey{queueNames, name}, id)
	}
	return name, err
}

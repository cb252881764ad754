package redisstore

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/store"
)

// layout says where things are. Everything of one queue lives in the slot of
// "queue:<name>", so that each edge is one script in one slot.
type layout struct{ cluster bool }

var escaper = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// line is the list of a queue's ready jobs. Braces in a name would move the key to
// another slot than its neighbours; without Ruby there it may be called otherwise.
func (l layout) line(queue string) string {
	if l.cluster && strings.ContainsAny(queue, "%{}") {
		queue = escaper.Replace(queue)
	}
	return "queue:" + queue
}

// of is a key of ebb's own in the queue's slot.
func (l layout) of(queue, what string) string { return "ebb:{" + l.line(queue) + "}:" + what }

func (l layout) inbox(queue string) string { return l.of(queue, "inbox") }
func (l layout) books(queue string) string { return l.of(queue, "books") }
func (l layout) held(queue string, id store.Identity) string {
	return l.of(queue, "held:"+string(id))
}

// What belongs to no queue has one slot in a cluster, and Ruby's names elsewhere.
func (l layout) fleet(name string) string {
	if l.cluster {
		return "{ebb}:" + name
	}
	return name
}

// On one server a script sees all queues, so there is one of each of these. In a
// cluster each queue has its own.

func (l layout) holders(queue string) string { return l.ours(queue, "holders") }
func (l layout) outbox(queue string) string  { return l.ours(queue, "outbox") }
func (l layout) last(queue string, id store.Identity) string {
	return l.ours(queue, "last:"+string(id))
}

func (l layout) undoList(queue, change string) string { return l.ours(queue, "undo:"+change) }

func (l layout) ours(queue, what string) string {
	if l.cluster {
		return l.of(queue, what)
	}
	return "ebb:" + what
}

var setNames = map[store.Place]string{store.Scheduled: "schedule", store.Retrying: "retry", store.Dead: "dead"}

func (l layout) set(place store.Place, queue string) string {
	if l.cluster {
		return l.of(queue, setNames[place])
	}
	return setNames[place]
}

// shards divides queues into those that one script may touch.
func (l layout) shards(queues []string) [][]string {
	if !l.cluster {
		return [][]string{queues}
	}
	shards := make([][]string, len(queues))
	for i := range queues {
		shards[i] = queues[i : i+1]
	}
	return shards
}

// departure is the keys of depart.lua.
func (l layout) departure(id store.Identity) []string {
	record := l.fleet(string(id))
	return []string{
		l.fleet("ebb:stops"), l.fleet("ebb:stop:" + string(id)), l.fleet("ebb:presence"), l.fleet("processes"),
		record, record + ":work", record + ":workers", record + "-signals", l.fleet("ebb:commands:" + string(id)), l.doorbells(),
	}
}

// doorbells are the processes that can be heard, in the order of a ring.
func (l layout) doorbells() string { return l.fleet("ebb:doorbells") }

// left says that id has left. A script of one slot asks the slot's last; in a cluster
// a process that never had a queue has no slot.
func (l layout) left(id store.Identity) string { return l.fleet("ebb:left:" + string(id)) }

// number writes a Seq so that scripts can compare it as text: a Lua number would
// lose digits of a large one.
func number(seq uint64) string {
	if seq == 0 {
		return ""
	}
	digits := strconv.FormatUint(seq, 10)
	return "00000000000000000000"[len(digits):] + digits
}

// A token is the field in the holder's hash, the holder, abridged, and the queue.
// Fields of two holders may be the same.
func token(field string, owner owner, queue string) store.Token {
	return store.Token(field + ":" + string(owner) + ":" + queue)
}

// owner is an identity, abridged.
type owner string

func ownerOf(id store.Identity) owner {
	h := fnv.New64a()
	h.Write([]byte(id))
	return owner(strconv.FormatUint(h.Sum64(), 36))
}

// split takes a token apart, if it is one of the owner's.
func split(t store.Token, by owner) (field, queue string, ok bool) {
	field, rest, _ := strings.Cut(string(t), ":")
	whose, queue, ok := strings.Cut(rest, ":")
	return field, queue, ok && whose == string(by)
}

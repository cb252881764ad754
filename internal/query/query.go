// Package query is the language in which people name jobs, the same in the command
// and in the UI:
//
//	kind:InvoiceJob error:CardError after:-2h -queue:low "order 777"
//
// A query is terms with spaces between them, and a job matches if all of them hold.
// A term is a field with a value, or text:
//
//	kind:InvoiceJob     the job's kind, the class inside a wrapper, or the name it shows
//	queue:mailers       where it waits or will run next
//	state:retry,dead    ready, scheduled, retry, running or dead
//	error:CardError     in "class: message" of its last failure, in any case; with a *,
//	                    the whole class
//	group:k3f9x0        the group of failures that are alike, by its ID, see fleet.Groups
//	jid:2d2a34bb68      its jid, or the tail of one: at least 4 hex digits
//	tag:eu              one of its tags
//	args.0=42           an argument, by its place and then by names and places inside it;
//	                    args.user=7 looks into the first. Text without its quotes, all
//	                    else as it is written in JSON
//	try>3               how many tries have failed; also < <= >= =
//	after:-2h           the last thing that happened to it (it died, failed, was
//	before:14:00        interrupted, enqueued or made) is not before, or is before, that
//	                    moment: RFC 3339, a day, an hour of today, or from now: -90m -2h -1d
//	interrupted:yes     it was cut off at least once, or, with no, never
//	version:v142        the release that last cut it off or lost it
//	777, "order 777"    text anywhere in what people see of it, in any case
//
// Values may be alternatives, as in kind:A,B. A * at either end of a kind, queue,
// tag, version or error stands for anything. Quotes make their content mean itself,
// \" and \\ inside them a quote and a backslash. A - or ! before a term turns it
// round. A bare word of 24 hex digits is a jid.
//
// A payload that cannot be read as a job is matched by text, state and queue only:
// no other term holds for it, turned round or not, so that nothing is done to it by
// what it lacks. Arguments that a job hides are matched by nothing.
package query

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Query is a parsed query. It may be used by several goroutines. The zero value
// matches every job.
type Query struct {
	terms []term
	// releases tells the release of a process, for version: terms.
	releases map[string]string
	seen     func(store.Entry) store.Entry // nil: as they are
}

// term is one condition, or its opposite.
type term struct {
	not bool
	condition
}

// condition is what a term asks of a job.
type condition interface {
	// missed reports that the condition cannot hold, judged by a look at the payload's
	// bytes alone.
	missed(r *raw) bool
	holds(s *subject) bool
	String() string
}

// early is a condition for which a payload need not be looked at.
type early interface {
	early(place store.Place, queue string) bool
}

// subject is a job that is looked at.
type subject struct {
	entry    store.Entry
	job      *wire.Job // nil: the payload cannot be read
	releases map[string]string
	raw      raw
}

// subjects are kept, since one is needed for each of a million jobs.
var subjects = sync.Pool{New: func() any { return new(subject) }}

// Match reports whether e is a job that q asks for. Terms of version hold only in
// [Query.Find], which knows the releases of processes.
func (q *Query) Match(e store.Entry) bool {
	if !q.early(e.Place, e.Queue) {
		return false
	}
	if inside, not := q.inside(); inside && q.seen != nil {
		if !not && !q.look(e) {
			return false // and less of it would not match either
		}
		e = q.seen(e)
	}
	return q.look(e)
}

func (q *Query) look(e store.Entry) bool {
	s := subjects.Get().(*subject)
	*s = subject{entry: e, releases: q.releases}
	s.raw.entry = &s.entry
	matched := q.match(s)
	*s = subject{} // keeps no payload alive
	subjects.Put(s)
	return matched
}

// SeenAs returns q for somebody to whom jobs are shown as seen makes them: what is hidden
// from people, they must not find out by asking which jobs have it.
func (q *Query) SeenAs(seen func(store.Entry) store.Entry) *Query {
	return &Query{terms: q.terms, releases: q.releases, seen: seen}
}

// inside reports whether a term asks for what may be hidden, and whether one asks that
// it is not there.
func (q *Query) inside() (inside, not bool) {
	for _, t := range q.terms {
		switch t.condition.(type) {
		case *contains, *argIs:
			inside, not = true, not || t.not
		}
	}
	return inside, not
}

func (q *Query) early(place store.Place, queue string) bool {
	for _, t := range q.terms {
		if c, ok := t.condition.(early); ok && c.early(place, queue) == t.not {
			return false
		}
	}
	return true
}

func (q *Query) match(s *subject) bool {
	read := false // whether the payload must be
	for _, t := range q.terms {
		switch missed := t.missed(&s.raw); {
		case missed && !t.not:
			return false
		case missed:
			_, isText := t.condition.(*contains)
			read = read || !isText // the others take a payload that can be read
		default:
			_, done := t.condition.(early)
			read = read || !done
		}
	}
	if !read {
		return true
	}
	if job, err := wire.Parse(s.entry.Payload); err == nil {
		s.job = job
	}
	for _, t := range q.terms {
		_, isText := t.condition.(*contains)
		_, done := t.condition.(early)
		if !done && (s.job == nil && !isText || t.holds(s) == t.not) {
			return false
		}
	}
	return true
}

// String returns q in its normal form, which Parse reads as the same query at any
// time: moments are absolute.
func (q *Query) String() string {
	parts := make([]string, len(q.terms))
	for i, t := range q.terms {
		parts[i] = t.String()
		if t.not {
			parts[i] = "-" + parts[i]
		}
	}
	return strings.Join(parts, " ")
}

// IsZero reports whether q matches every job.
func (q *Query) IsZero() bool { return len(q.terms) == 0 }

// And returns the query that asks for what both ask for.
func (q *Query) And(other *Query) *Query {
	both := &Query{terms: slices.Concat(q.terms, other.terms), seen: q.seen}
	if both.seen == nil {
		both.seen = other.seen
	}
	return both
}

// InQueue is the query for the jobs of one queue.
func InQueue(name string) *Query { return one(&queueIs{anyOf{{text: name}}}) }

// NotInQueue is the query for the jobs of all other queues.
func NotInQueue(name string) *Query {
	q := InQueue(name)
	q.terms[0].not = true
	return q
}

// InPlaces is the query for the jobs in any of places.
func InPlaces(places ...store.Place) *Query { return one(&stateIs{places}) }

// ForJIDs is the query for the jobs with any of these jids, or tails of jids.
func ForJIDs(jids ...string) *Query {
	list := make(anyOf, len(jids))
	for i, jid := range jids {
		list[i].text = jid
	}
	return one(newJIDIs(list))
}

// InGroup is the query for the failures of the group with that ID.
func InGroup(id string) *Query { return one(&groupIs{anyOf{{text: id}}}) }

func one(c condition) *Query { return &Query{terms: []term{{condition: c}}} }

// Touched is when the last thing happened to a job: it died, failed, was cut off,
// was enqueued or made. It is zero where nothing tells. job is e's payload as
// [wire.Parse] returned it, beside an error too.
func Touched(e *store.Entry, job *wire.Job) time.Time {
	last := job.CreatedAt
	for _, t := range []time.Time{job.EnqueuedAt, job.FailedAt, job.RetriedAt} {
		if t.After(last) {
			last = t
		}
	}
	if n := len(job.History.Events); n > 0 && job.History.Events[n-1].At.After(last) {
		last = job.History.Events[n-1].At
	}
	if e.Place == store.Dead && e.At.After(last) {
		last = e.At
	}
	return last
}

// Tries is how many tries of a job have failed.
func Tries(job *wire.Job) int { return job.Count + 1 }

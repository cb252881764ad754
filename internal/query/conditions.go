package query

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

type queueIs struct{ anyOf }

func (c *queueIs) early(_ store.Place, queue string) bool { return c.match(queue) }
func (c *queueIs) missed(*raw) bool                       { return false }
func (c *queueIs) holds(s *subject) bool                  { return c.match(s.entry.Queue) }
func (c *queueIs) String() string                         { return "queue:" + c.anyOf.String() }

type stateIs struct{ places []store.Place }

func (c *stateIs) early(p store.Place, _ string) bool { return slices.Contains(c.places, p) }
func (c *stateIs) missed(*raw) bool                   { return false }
func (c *stateIs) holds(s *subject) bool              { return slices.Contains(c.places, s.entry.Place) }

func (c *stateIs) String() string {
	names := make([]string, len(c.places))
	for i, p := range c.places {
		names[i] = StateOf(p)
	}
	return "state:" + strings.Join(names, ",")
}

type kindIs struct{ anyOf }

func (c *kindIs) String() string { return "kind:" + c.anyOf.String() }

func (c *kindIs) holds(s *subject) bool {
	return c.match(s.job.Kind) || s.job.Wrapped != "" && c.match(s.job.Wrapped) || s.job.DisplayClass != "" && c.match(s.job.DisplayClass)
}

type tagIs struct{ anyOf }

func (c *tagIs) String() string        { return "tag:" + c.anyOf.String() }
func (c *tagIs) holds(s *subject) bool { return slices.ContainsFunc(s.job.Tags, c.match) }

// errorIs looks for text in "class: message", or for a pattern of the class.
type errorIs struct {
	list  anyOf
	text  []fold   // of each that is no pattern
	parts []string // what is looked for in a payload's bytes
}

func newErrorIs(list anyOf) condition {
	c := &errorIs{list: list, text: make([]fold, len(list)), parts: make([]string, len(list))}
	for i, p := range list {
		c.text[i], c.parts[i] = newFold(p.text), p.text
		if p.whole() {
			c.parts[i] = c.text[i].part()
		}
		if c.parts[i] == "" {
			c.parts[i] = "rror_" // the keys of both fields
		}
	}
	return c
}

func (c *errorIs) String() string { return "error:" + c.list.String() }

func (c *errorIs) missed(r *raw) bool {
	for i, p := range c.list {
		if p.whole() && !c.text[i].ascii || !r.lacks(c.parts[i], p.whole()) {
			return false
		}
	}
	return true
}

func (c *errorIs) holds(s *subject) bool {
	if s.job.ErrorClass == "" && s.job.ErrorMessage == "" {
		return false
	}
	for i, p := range c.list {
		if p.whole() && c.text[i].in(ErrorOf(s.job)) || !p.whole() && p.match(s.job.ErrorClass) {
			return true
		}
	}
	return false
}

// groupIs is the group of failures that are alike.
type groupIs struct{ anyOf }

func (c *groupIs) String() string     { return "group:" + c.anyOf.String() }
func (c *groupIs) missed(r *raw) bool { return r.lacks("error_class", false) }

func (c *groupIs) holds(s *subject) bool {
	return s.job.ErrorClass != "" && c.match(fleet.GroupID(fleet.GroupOf(s.job)))
}

// ErrorOf is a job's last failure as people read it: "class: message".
func ErrorOf(job *wire.Job) string {
	if job.ErrorClass == "" || job.ErrorMessage == "" {
		return job.ErrorClass + job.ErrorMessage
	}
	return job.ErrorClass + ": " + job.ErrorMessage
}

// jidIs is a jid, or the tail of one.
type jidIs struct {
	anyOf
	whole map[string]bool
	tails []string
}

// tail is what tells a job by the end of its jid.
var tail = regexp.MustCompile(`^[0-9a-f]{4,23}$`)

// IsJID reports whether text is jid, or the tail of it.
func IsJID(jid, text string) bool {
	return text == jid || tail.MatchString(text) && strings.HasSuffix(jid, text)
}

func newJIDIs(list anyOf) *jidIs {
	c := &jidIs{anyOf: list, whole: make(map[string]bool, len(list))}
	for _, p := range list {
		c.whole[p.text] = true
		if tail.MatchString(p.text) {
			c.tails = append(c.tails, p.text)
		}
	}
	return c
}

func (c *jidIs) String() string { return "jid:" + c.anyOf.String() }

func (c *jidIs) holds(s *subject) bool { return c.is(s.job.JID) }

// missed looks for a few; of many, at the payload's own jid.
func (c *jidIs) missed(r *raw) bool {
	if len(c.anyOf) <= 8 {
		return c.anyOf.missed(r)
	}
	jid, ok := wire.JIDOf(r.entry.Payload)
	return ok && !c.is(jid)
}

func (c *jidIs) is(jid string) bool {
	return jid != "" && (c.whole[jid] || slices.ContainsFunc(c.tails, func(tail string) bool { return strings.HasSuffix(jid, tail) }))
}

// argIs is the value of an argument.
type argIs struct {
	path  []string
	value string
}

func newArgIs(path []string, value string) condition { return &argIs{path, value} }

func (c *argIs) missed(r *raw) bool { return r.lacks(c.value, false) }

func (c *argIs) holds(s *subject) bool {
	return !s.job.History.NoArgs && argAt(s.job.Args, c.path, c.value)
}

func (c *argIs) String() string {
	value := c.value
	if value == "" || strings.ContainsFunc(value, special) {
		value = quote(value)
	}
	return "args." + strings.Join(c.path, ".") + "=" + value
}

type tries struct {
	op string
	n  int
}

func (c *tries) String() string { return fmt.Sprintf("try%s%d", c.op, c.n) }

func (c *tries) missed(r *raw) bool {
	g := r.glance()
	return !g.unclear && !c.compare(g.count+1)
}

func (c *tries) holds(s *subject) bool { return c.compare(Tries(s.job)) }

func (c *tries) compare(n int) bool {
	switch c.op {
	case "<":
		return n < c.n
	case "<=":
		return n <= c.n
	case ">":
		return n > c.n
	case ">=":
		return n >= c.n
	}
	return n == c.n
}

// since is a bound of the last thing that happened to a job.
type since struct {
	moment time.Time
	before bool
}

func (c *since) missed(r *raw) bool {
	g := r.glance()
	if g.unclear {
		return false
	}
	const slack = 1e-3 // more than a float64 of today's seconds is off
	touched, moment := g.touched(), float64(c.moment.UnixMicro())/1e6
	if r.entry.Place == store.Dead {
		touched = max(touched, float64(r.entry.At.UnixMicro())/1e6)
	}
	if c.before {
		return touched > moment+slack
	}
	return touched < moment-slack
}

func (c *since) holds(s *subject) bool {
	t := Touched(&s.entry, s.job)
	return !t.IsZero() && t.Before(c.moment) == c.before
}

func (c *since) String() string {
	field := "after:"
	if c.before {
		field = "before:"
	}
	return field + c.moment.UTC().Format(time.RFC3339Nano)
}

type interrupted bool

func (c interrupted) missed(r *raw) bool    { return bool(c) && r.lacks("ebb", false) }
func (c interrupted) holds(s *subject) bool { return (s.job.History.Interruptions > 0) == bool(c) }

func (c interrupted) String() string {
	if c {
		return "interrupted:yes"
	}
	return "interrupted:no"
}

// versionIs is the release of the process that last cut a job off or lost it.
type versionIs struct{ anyOf }

func (c *versionIs) String() string     { return "version:" + c.anyOf.String() }
func (c *versionIs) missed(r *raw) bool { return r.lacks("ebb", false) }

func (c *versionIs) holds(s *subject) bool {
	for _, e := range slices.Backward(s.job.History.Events) {
		process := e.By
		switch e.What {
		case "rescued":
			process = e.Note // the one that is gone
		case "interrupted":
		default:
			continue
		}
		return c.match(s.releases[process])
	}
	return false
}

package query

import (
	"slices"

	"github.com/ebbjobs/ebb/store"
)

// places are the states in the order in which they are looked through: what runs
// first, and what nobody waits for last.
var places = []store.Place{store.Keeping, store.Ready, store.Scheduled, store.Retrying, store.Dead}

// StateOf is what people call a place.
func StateOf(p store.Place) string {
	if p == store.Keeping {
		return "running"
	}
	return p.String()
}

// States are the names that a state: may have.
func States() []string {
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = StateOf(p)
	}
	return names
}

// PlaceOf returns the place that people call so. It knows a few more words than
// StateOf uses.
func PlaceOf(state string) (store.Place, bool) {
	switch state {
	case "waiting", "enqueued":
		return store.Ready, true
	case "held", "busy":
		return store.Keeping, true
	case "retrying":
		return store.Retrying, true
	}
	for _, p := range places {
		if StateOf(p) == state {
			return p, true
		}
	}
	return 0, false
}

// Places are where a job that q matches can be.
func (q *Query) Places() []store.Place {
	left := slices.Clone(places)
	for _, t := range q.terms {
		if c, ok := t.condition.(*stateIs); ok {
			left = slices.DeleteFunc(left, func(p store.Place) bool { return slices.Contains(c.places, p) == t.not })
		}
	}
	return left
}

package life

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// memory is what others than its payload remember of a job.
type memory struct {
	jid   string    // or the tail of it
	since time.Time // nothing before it can be about this job; zero: not known

	fates   []told
	ended   []store.Ended  // the latest first
	changes []store.Change // the latest first
}

// told is what a stop report says of a job.
type told struct {
	fate    store.Fate
	stop    store.Identity
	release string
	at      time.Time
}

// skew is how far the clocks of others may be off.
const skew = time.Minute

func (m *memory) read(ctx context.Context, st store.Store) error {
	for _, read := range []func(context.Context, store.Store) error{m.readEnded, m.readStops, m.readChanges} {
		if err := read(ctx, st); err != nil {
			return fmt.Errorf("life: %w", err)
		}
	}
	return nil
}

// old reports whether a moment is before the job was made.
func (m *memory) old(t time.Time) bool { return !t.IsZero() && t.Before(m.since.Add(-skew)) }

func (m *memory) readStops(ctx context.Context, st store.Store) error {
	for stop, err := range st.Stops(ctx) {
		if err != nil {
			return err
		}
		at := cmp.Or(stop.Ended, stop.Began, stop.Heard)
		if m.old(at) {
			return nil // and so are those behind it
		}
		for _, f := range stop.Jobs {
			if query.IsJID(f.JID, m.jid) {
				m.fates = append(m.fates, told{f, stop.ID, stop.Release, at})
			}
		}
	}
	return nil
}

func (m *memory) readEnded(ctx context.Context, st store.Store) error {
	jid := m.jid
	if !whole.MatchString(jid) {
		jid = "" // all of them, of which it may be the tail of one
	}
	for e, err := range st.Ended(ctx, jid) {
		if err != nil {
			return err
		}
		if query.IsJID(e.JID, m.jid) {
			m.ended = append(m.ended, e)
		}
	}
	return nil
}

var (
	whole = regexp.MustCompile(`^[0-9a-f]{24}$`)
	named = regexp.MustCompile(`(?:^|[\s:,])([0-9a-f]{4,24})(?:$|[\s,])`)
)

// readChanges finds those that name the job. Of the jobs of a change to all that match
// a query nobody remembers the names.
func (m *memory) readChanges(ctx context.Context, st store.Store) error {
	for c, err := range st.Changes(ctx) {
		if err != nil {
			return err
		}
		if m.old(c.Began) {
			return nil
		}
		for _, match := range named.FindAllStringSubmatch(c.What, -1) {
			if c.Done > 0 && (match[1] == m.jid || query.IsJID(m.jid, match[1]) || query.IsJID(match[1], m.jid)) {
				m.changes = append(m.changes, c)
				break
			}
		}
	}
	return nil
}

func (m *memory) empty() bool { return len(m.fates)+len(m.ended)+len(m.changes) == 0 }

// end is what became of a job that is nowhere: the last that anybody saw of it.
func (m *memory) end() string {
	var at time.Time
	state := "gone"
	last := func(t time.Time, s string) {
		if !t.Before(at) {
			at, state = t, s
		}
	}
	for _, f := range slices.Backward(m.fates) {
		switch f.fate.Fate {
		case "finished":
			last(f.at, "done")
		default:
			last(f.at, "gone")
		}
	}
	for _, c := range slices.Backward(m.changes) {
		if c.Verb == "delete" && c.Undone.IsZero() {
			last(cmp.Or(c.Ended, c.Began), "deleted")
		}
	}
	for _, e := range slices.Backward(m.ended) {
		last(e.At, e.Outcome.String())
	}
	return state
}

// Kept says how far back anybody remembers jobs that are gone.
type Kept struct {
	Stops time.Duration // stop reports
	Ended time.Time     // the end of the oldest that is remembered; zero: none
	Count int           // how many are
}

// Remembered finds out how far back memories go.
func Remembered(ctx context.Context, st store.Store) (Kept, error) {
	k := Kept{Stops: store.ChangeAge}
	for e, err := range st.Ended(ctx, "") {
		if err != nil {
			return k, fmt.Errorf("life: %w", err)
		}
		k.Ended = e.At
		k.Count++
	}
	return k, nil
}

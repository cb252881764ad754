package sqlitestore

import (
	"cmp"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// histories is what the processes of this client have told of their runs so far.
type histories struct {
	mu sync.Mutex
	of map[store.Identity]*history
}

// history is what one process has told. It outlives a rescue, after which the process
// may beat again.
type history struct {
	release string
	moment  time.Time // of the last report
	runs    map[string]store.Runs
	number  uint64 // of the last job that ended
}

func (h *histories) get(id store.Identity) *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[id]
}

// learn takes what was committed. A process that has left tells nothing more: nil.
func (h *histories) learn(fresh map[store.Identity]*history) {
	if len(fresh) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, told := range fresh {
		if told == nil {
			delete(h.of, id)
			continue
		}
		if h.of == nil {
			h.of = make(map[store.Identity]*history)
		}
		h.of[id] = told
	}
}

// historyOf is what a process has told, this transaction included. Who changes it puts
// a copy into t.told.
func (t *tx) historyOf(id store.Identity) history {
	h, ok := t.told[id]
	if !ok {
		h = t.histories.get(id)
	}
	if h == nil {
		return history{}
	}
	return *h
}

func (t *tx) tell(id store.Identity, h *history) {
	if t.told == nil {
		t.told = make(map[store.Identity]*history)
	}
	t.told[id] = h
}

// heard keeps what is new in what a process tells of its runs with a beat. Runs are
// counted with the first beat of each moment, for the one before: what costs a few
// statements for each kind is not done with every beat. On a full disk nothing is: it
// is all new later.
func (t *tx) heard(p *store.Presence) error {
	if t.full {
		return nil
	}
	h := t.historyOf(p.ID)
	now := moment(t.now)
	this := store.Moment.Start(now)
	due := !h.moment.Equal(this)
	if len(p.Ended) == 0 && !due {
		return nil
	}
	h.release = cmp.Or(p.Release, h.release)
	if err := t.keepEnded(&h, p.Ended); err != nil {
		return err
	}
	if due {
		at := now
		if !h.moment.IsZero() && h.moment.Before(this) {
			at = this.Add(-time.Microsecond)
		}
		h.moment = this
		if err := t.tally(&h, at, p.Runs); err != nil {
			return err
		}
	}
	t.tell(p.ID, &h)
	return nil
}

// heardLast is heard for the last time.
func (t *tx) heardLast(f *store.Farewell) error {
	if t.full {
		return nil
	}
	h := t.historyOf(f.ID)
	h.release = cmp.Or(h.release, f.Report.Release)
	if err := t.keepEnded(&h, f.Ended); err != nil {
		return err
	}
	t.tell(f.ID, nil)
	return t.tally(&h, moment(t.now), f.Runs)
}

var (
	addEnded  = statement("INSERT INTO ebb_ended(jid, ended) VALUES (?, ?) RETURNING id")
	trimEnded = statement("DELETE FROM ebb_ended WHERE id <= ?")
)

// keepEnded keeps those jobs that h has not seen.
func (t *tx) keepEnded(h *history, ended []store.Numbered) error {
	last := int64(0)
	for _, e := range ended {
		if e.Number <= h.number {
			continue
		}
		h.number = e.Number
		text, err := json.Marshal(e.Ended)
		if err != nil {
			continue // a log that is no JSON
		}
		if err := t.query(addEnded, func(r []row) error { last = r[0].(int64); return nil }, e.JID, string(text)); err != nil {
			return err
		}
	}
	if last <= store.MaxEnded {
		return nil
	}
	_, err := t.exec(trimEnded, last-store.MaxEnded)
	return err
}

// tally counts what is new in runs as ended at that time.
func (t *tx) tally(h *history, at time.Time, runs []store.Runs) error {
	var fresh []store.Runs
	told := make(map[string]store.Runs, len(runs))
	maps.Copy(told, h.runs)
	all := store.Runs{}
	for _, r := range runs {
		name := r.Kind + "\x00" + r.Queue
		if more := r.Since(told[name]); more.Ended > 0 {
			fresh, all, told[name] = append(fresh, more), all.Plus(more), r
		}
	}
	h.runs = told
	if len(fresh) == 0 {
		return nil
	}
	for _, step := range store.Steps {
		if step.Total() {
			if err := t.addTo(step, at, 0, all); err != nil {
				return err
			}
		}
	}
	for _, r := range fresh {
		if err := t.countRuns(r, h.release, at); err != nil {
			return err
		}
	}
	return nil
}

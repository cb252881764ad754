package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func inBubble(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

// Where each verb takes jobs from, and where it puts them.
func TestVerbs(t *testing.T) {
	t.Parallel()
	target := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) // past any of a bubble's
	for verb, want := range map[Verb]string{
		Retry:      "ready: dead retrying scheduled waiting",
		Reschedule: "scheduled: dead scheduled waiting; retry: retrying",
		Bury:       "dead: dead retrying scheduled waiting",
		Delete:     "",
		Move:       "scheduled: scheduled; retry: retrying; dead: dead; ready: waiting in r",
		Clear:      "scheduled: scheduled; retry: retrying; dead: dead",
	} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.push("A", "q", "held")
				w.hold("q", 1)
				w.push("A", "q", "waiting")
				w.put(store.Scheduled, "A", "q", "scheduled")
				w.put(store.Retrying, "A", "q", "retrying")
				w.put(store.Dead, "A", "q", "dead")
				before := w.all()
				c := w.run(Order{Verb: verb, Query: &query.Query{}, At: target, Queue: "r"})
				if c.Missed != 0 || c.Ended.IsZero() {
					w.Errorf("%+v", c)
				}
				if got := places(w); got != "held: held; "+want && got+"; " != "held: held; "+want {
					w.Errorf("got  %s\nwant held: held; %s", got, want)
				}
				if !c.Until.Equal(time.Now().Add(UndoFor)) {
					w.Errorf("may be undone until %v", c.Until)
				}
				sum, err := Undo(w.Context(), w.Store, c, nil)
				w.must(err)
				if diff := cmp.Diff(before, w.all()); diff != "" || sum != (Undone{Back: c.Done}) {
					w.Errorf("undone %+v: %s", sum, diff)
				}
			})
		})
	}
}

// places is where each job is: by place, sorted by jid.
func places(w *world) string {
	at := map[string][]string{}
	for e, err := range (&query.Query{}).Find(w.Context(), w.Store, query.Search{}) {
		w.must(err)
		jid, _ := wire.JIDOf(e.Payload)
		if e.Queue != "q" {
			jid += " in " + e.Queue
		}
		at[e.Place.String()] = append(at[e.Place.String()], jid)
	}
	var parts []string
	for _, place := range []string{"held", "scheduled", "retry", "dead", "ready"} {
		if list := at[place]; list != nil {
			slices.Sort(list)
			parts = append(parts, place+": "+strings.Join(list, " "))
		}
	}
	return strings.Join(parts, "; ")
}

// What a verb writes into a payload, as Sidekiq does.
func TestPayloads(t *testing.T) {
	t.Parallel()
	at := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	const plain, failed, again = `{"class":"A","args":[],"enqueued_at":1.5}`, `{"class":"A","args":[],"retry_count":0,"enqueued_at":1.5}`, `{"class":"A","args":[],"retry_count":25}`
	for name, c := range map[string]struct {
		verb    Verb
		from    store.Place
		payload string
		want    string // empty: as it is
	}{
		"retried a first time":        {Retry, store.Retrying, failed, `{"class":"A","args":[],"retry_count":-1,"enqueued_at":1.5}`},
		"retried from the dead":       {Retry, store.Dead, again, `{"class":"A","args":[],"retry_count":24}`},
		"never failed":                {Retry, store.Dead, plain, ""},
		"enqueued ahead of time":      {Retry, store.Scheduled, again, ""},
		"unreadable":                  {Retry, store.Dead, `{"class":`, ""},
		"put off in its set":          {Reschedule, store.Retrying, failed, ""},
		"put off":                     {Reschedule, store.Scheduled, plain, ""},
		"put off from a queue":        {Reschedule, store.Ready, failed, `{"class":"A","args":[],"retry_count":0}`},
		"put off from the dead":       {Reschedule, store.Dead, failed, `{"class":"A","args":[],"retry_count":-1}`},
		"unreadable, put off":         {Reschedule, store.Ready, `nonsense`, ""},
		"buried":                      {Bury, store.Retrying, failed, ""},
		"moved, stamped by the store": {Move, store.Ready, plain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Order{Verb: c.verb, At: at, Queue: "r"}
			p := o.pick(&store.Entry{Place: c.from, Payload: []byte(c.payload)})
			if string(p.Payload) != c.want {
				t.Errorf("got %s want %s", p.Payload, c.want)
			}
			if p.At.IsZero() != (c.verb != Reschedule) || (p.Queue == "r") != (c.verb == Move) {
				t.Errorf("picked %+v", p)
			}
		})
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.push("A", "q", jids("a", 10)...)
		w.hold("q", 3)
		w.put(store.Retrying, "B", "q", jids("b", 5)...)
		w.put(store.Retrying, "B", "q", "soon")
		f := w.freeze(Order{Verb: Reschedule, Query: w.query("jid:soon"), At: time.Now().Add(30 * time.Second)})
		_, err := f.Run(w.Context(), Options{})
		w.must(err)
		before := w.all()
		for name, c := range map[string]struct {
			order       Order
			count, soon int64
		}{
			"all":           {Order{Verb: Delete, Query: &query.Query{}}, 13, 1},
			"by kind":       {Order{Verb: Delete, Query: w.query("kind:A")}, 7, 0},
			"what runs":     {Order{Verb: Delete, Query: w.query("state:running")}, 0, 0},
			"with a limit":  {Order{Verb: Delete, Query: w.query("kind:A"), Limit: 4}, 4, 0},
			"above it":      {Order{Verb: Delete, Query: w.query("kind:A"), Limit: 9}, 7, 0},
			"not from here": {Order{Verb: Retry, Query: w.query("kind:A")}, 0, 0},
			"due anyway":    {Order{Verb: Retry, Query: w.query("kind:B")}, 6, 1},
			"to itself":     {Order{Verb: Move, Query: &query.Query{}, Queue: "q"}, 0, 0},
		} {
			f := w.freeze(c.order)
			if f.Count != c.count || f.Soon != c.soon || f.set.left != c.count {
				t.Errorf("%s: %d jobs, %d of them soon", name, f.Count, f.Soon)
			}
			if f.Resumable() != (c.order.Limit == 0) || !f.Undoable() {
				t.Errorf("%s: resumable %v, undoable %v", name, f.Resumable(), f.Undoable())
			}
		}
		if diff := cmp.Diff(before, w.all()); diff != "" {
			t.Error(diff)
		}
		for name, o := range map[string]Order{
			"no verb":  {Query: &query.Query{}},
			"no query": {Verb: Delete},
			"no hour":  {Verb: Reschedule, Query: &query.Query{}},
			"no queue": {Verb: Move, Query: &query.Query{}},
		} {
			if _, err := Freeze(w.Context(), w.Store, o, nil); err == nil {
				t.Errorf("%s: frozen", name)
			}
		}
	})
}

// What comes after the freeze is left alone, and what has gone its way is counted.
func TestOnlyFrozenJobsAreTouched(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.push("A", "q", jids("a", 1200)...)
		f := w.freeze(Order{Verb: Delete, Query: w.query("kind:A")})
		time.Sleep(time.Second)
		w.push("A", "q", jids("new", 50)...)
		w.hold("q", 200)
		c, err := f.Run(w.Context(), Options{})
		w.must(err)
		if c.Wanted != 1200 || c.Done != 1000 || c.Missed != 200 {
			t.Errorf("%+v", c)
		}
		if diff := cmp.Diff(c, w.change(c.ID)); diff != "" {
			t.Error(diff)
		}
		if n := w.count("state:ready"); n != 50 {
			t.Errorf("%d jobs left of 50", n)
		}
	})
}

// A queue that shifts while it is walked is emptied all the same, and moves in order.
func TestQueuesThatShift(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"the whole queue": "queue:q", "some of it": "queue:q kind:A", "few of it": "queue:q kind:C"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				for i, jid := range jids("j", 3000) {
					w.push([]string{"A", "A", "B"}[i%3], "q", jid)
					if i%100 == 0 {
						w.push("C", "q", "c"+jid)
					}
				}
				var want []string
				for e, err := range w.query(text).Find(w.Context(), w.Store, query.Search{}) {
					w.must(err)
					jid, _ := wire.JIDOf(e.Payload)
					want = append(want, jid)
				}
				f, err := Freeze(w.Context(), &shifting{w.Store}, Order{Verb: Move, Query: w.query(text), Queue: "r"}, nil)
				w.must(err)
				c, err := f.Run(w.Context(), Options{})
				w.must(err)
				if c.Done != int64(len(want)) || c.Missed != 0 {
					t.Errorf("%d of %d, %d missed", c.Done, len(want), c.Missed)
				}
				var got []string
				for e, err := range w.Jobs(w.Context(), store.Query{Place: store.Ready, Queue: "r"}) {
					w.must(err)
					jid, _ := wire.JIDOf(e.Payload)
					got = append(got, jid)
				}
				if text != "queue:q" {
					slices.Sort(got)
					slices.Sort(want)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestUndoIsToTheByte(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.put(store.Retrying, "A", "q", jids("a", 2000)...)
		w.push("A", "q", jids("b", 2000)...)
		w.push("B", "q", jids("c", 100)...)
		before := w.all()
		c := w.run(Order{Verb: Delete, Query: w.query("kind:A")})
		if n := int64(len(before)) - w.count(""); n != 4000 || c.Done != 4000 {
			t.Fatalf("%d gone, %d told", n, c.Done)
		}
		last, err := LastUndoable(w.Context(), w.Store)
		w.must(err)
		if last.ID != c.ID {
			t.Errorf("the last is %s, not %s", last.ID, c.ID)
		}
		var told [2]int64
		sum, err := Undo(w.Context(), w.Store, c, func(n, of int64) { told = [2]int64{n, of} })
		w.must(err)
		if sum != (Undone{Back: 4000}) || told != [2]int64{4000, 4000} {
			t.Errorf("undone %+v, told %v", sum, told)
		}
		// What is at the front of a queue again stands there in its old order.
		slices.Sort(before)
		after := w.all()
		slices.Sort(after)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error(diff)
		}
		if c = w.change(c.ID); c.Undone.IsZero() {
			t.Error("not told that it was undone")
		}
		if _, err := Undo(w.Context(), w.Store, c, nil); !errors.Is(err, ErrNotUndoable) {
			t.Errorf("undone twice: %v", err)
		}
		if _, err := Resume(w.Context(), w.Store, c.ID, nil); !errors.Is(err, ErrNothingToResume) {
			t.Errorf("resumed: %v", err)
		}
		if _, err := LastUndoable(w.Context(), w.Store); !errors.Is(err, ErrUnknownChange) {
			t.Errorf("another to undo: %v", err)
		}
	})
}

func TestUndoCountsWhatHasMovedOn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.put(store.Retrying, "A", "q", jids("a", 100)...)
		c := w.run(Order{Verb: Retry, Query: w.query("kind:A")})
		w.hold("q", 30)
		sum, err := Undo(w.Context(), w.Store, c, nil)
		w.must(err)
		if sum != (Undone{Back: 70, Passed: 30}) || w.count("state:retry") != 70 {
			t.Errorf("undone %+v", sum)
		}
	})
}

func TestUndoIsOverAfterTenMinutes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.push("A", "q", jids("a", 10)...)
		c := w.run(Order{Verb: Delete, Query: w.query("kind:A")})
		time.Sleep(UndoFor + time.Second)
		if _, err := Undo(w.Context(), w.Store, c, nil); !errors.Is(err, ErrNotUndoable) {
			t.Errorf("undone: %v", err)
		}
		if n := w.count(""); n != 0 {
			t.Errorf("%d jobs are back", n)
		}
	})
}

func TestTooLargeToUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	large := strings.Repeat("x", 1<<20)
	for i := range 65 {
		payload := fmt.Appendf(nil, `{"class":"A","args":[%q],"jid":"%d"}`, large, i)
		_, err := w.Push(t.Context(), store.Call{}, store.Item{JID: fmt.Sprint(i), Queue: "q", Payload: payload})
		w.must(err)
	}
	f := w.freeze(Order{Verb: Delete, Query: w.query("kind:A")})
	if f.Undoable() || f.Bytes < MaxUndoBytes {
		t.Fatalf("%d bytes can be undone", f.Bytes)
	}
	var batches []int64
	c, err := f.Run(t.Context(), Options{Progress: func(n, of int64) { batches = append(batches, n) }})
	w.must(err)
	if !c.Until.IsZero() || c.Done != 65 {
		t.Errorf("%+v", c)
	}
	if len(batches) < 10 {
		t.Errorf("65 MiB in %d batches", len(batches))
	}
	if _, err := Undo(t.Context(), w.Store, c, nil); !errors.Is(err, ErrNotUndoable) {
		t.Errorf("undone: %v", err)
	}
}

func TestForGood(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.push("A", "q", jids("a", 3)...)
		f := w.freeze(Order{Verb: Delete, Query: w.query("kind:A")})
		f.ForGood = true
		c, err := f.Run(w.Context(), Options{})
		w.must(err)
		if c.Done != 3 || !c.Until.IsZero() {
			t.Errorf("%+v", c)
		}
		if _, err := Undo(w.Context(), w.Store, c, nil); !errors.Is(err, ErrNotUndoable) {
			t.Errorf("undone: %v", err)
		}
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]time.Duration{0: 0, 100: 9 * time.Second, 0.5: 1998 * time.Second, 1e6: 500 * time.Microsecond} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.push("A", "q", jids("a", 1000)...)
				began := time.Now()
				c, err := w.freeze(Order{Verb: Delete, Query: w.query("kind:A")}).Run(w.Context(), Options{Rate: rate})
				w.must(err)
				if took := time.Since(began); took != want || c.Done != 1000 {
					t.Errorf("%d in %v, want %v", c.Done, took, want)
				}
			})
		})
	}
}

func TestStopsBetweenBatches(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.push("A", "q", jids("a", 2000)...)
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(w.Context())
		f := w.freeze(Order{Verb: Delete, Query: w.query("kind:A")})
		c, err := f.Run(ctx, Options{Progress: func(n, of int64) {
			if n >= 1000 {
				cancel(stop)
			}
		}})
		if !errors.Is(err, stop) || c.Done != 1000 || !c.Ended.IsZero() {
			t.Fatalf("%v, %+v", err, c)
		}
		if diff := cmp.Diff(c, w.change(c.ID)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
		w.push("A", "q", jids("late", 10)...)
		w.hold("q", 3)
		f, err = Resume(w.Context(), w.Store, c.ID[:4], nil)
		w.must(err)
		if f.Count != 997 || f.ID != c.ID {
			t.Errorf("%d left in %s", f.Count, f.ID)
		}
		c, err = f.Run(w.Context(), Options{})
		w.must(err)
		if c.Done != 1997 || c.Missed != 3 || c.Wanted != 2000 || c.Ended.IsZero() {
			t.Errorf("%+v", c)
		}
		if n := w.count("state:ready"); n != 10 {
			t.Errorf("%d jobs left of 10", n)
		}
		if _, err := Resume(w.Context(), w.Store, c.ID, nil); !errors.Is(err, ErrNothingToResume) {
			t.Errorf("resumed at the end: %v", err)
		}
		sum, err := Undo(w.Context(), w.Store, c, nil)
		w.must(err)
		if sum.Back != 1997 {
			t.Errorf("undone %+v", sum)
		}
	})
}

func TestALimitIsNotResumed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.push("A", "q", jids("a", 2000)...)
		ctx, cancel := context.WithCancel(w.Context())
		c, err := w.freeze(Order{Verb: Delete, Query: w.query("kind:A"), Limit: 1500}).Run(ctx, Options{Progress: func(int64, int64) { cancel() }})
		if err == nil || c.Done != 500 || c.Wanted != 1500 {
			t.Fatalf("%v, %+v", err, c)
		}
		_, err = Resume(w.Context(), w.Store, c.ID, nil)
		if !errors.Is(err, ErrNothingToResume) || !strings.Contains(store.Hint(err), "--limit 1000") {
			t.Errorf("%v, hint %q", err, store.Hint(err))
		}
	})
}

func TestLookup(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		now := time.Now().UTC()
		for _, id := range []string{"ab12cd", "ab12ce", "ff0000"} {
			w.must(w.Record(w.Context(), store.Change{ID: id, Verb: "pause", Began: now, Ended: now}))
		}
		for id, want := range map[string]string{"ab12cd": "ab12cd", "ab12c": "", "": "", "zz": "", "ff": "ff0000"} {
			c, err := Lookup(w.Context(), w.Store, id)
			if c.ID != want || (err == nil) != (want != "") {
				t.Errorf("%q: %q, %v", id, c.ID, err)
			}
		}
		c := w.change("ff0000")
		if _, err := Undo(w.Context(), w.Store, c, nil); !errors.Is(err, ErrNotUndoable) {
			t.Errorf("a pause undone: %v", err)
		}
		if _, err := Resume(w.Context(), w.Store, c.ID, nil); !errors.Is(err, ErrNothingToResume) {
			t.Errorf("a pause resumed: %v", err)
		}
	})
}

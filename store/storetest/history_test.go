package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

// acking loses what is given back.
type acking struct{ store.Store }

func (a acking) Requeue(ctx context.Context, call store.Call, back ...store.Later) error {
	var done []store.Done
	for _, l := range back {
		done = append(done, store.Done{Token: l.Token})
	}
	return a.Ack(ctx, call, done...)
}

// forgetful makes a new call of each repeat.
type forgetful struct{ store.Store }

func (f forgetful) Push(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	return f.Store.Push(ctx, store.Call{}, items...)
}

// hasty rescues from whoever it is told, without another look.
type hasty struct{ store.Store }

func (h hasty) Rescue(ctx context.Context, s store.Salvage) (int, error) {
	s.Cause = store.Witnessed
	return h.Store.Rescue(ctx, s)
}

// What is wrong with a store is found, and told in a few steps.
func TestHistoriesFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		wrong func(store.Store) store.Store
		story string
	}{
		{"a requeue that is an ack", func(s store.Store) store.Store { return acking{s} }, "fetches"},
		{"a push that is stored twice", func(s store.Store) store.Store { return forgetful{s} }, "pushed"},
		{"a rescue that does not look", func(s store.Store) store.Store { return hasty{s} }, "is rescued from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			open := func(*testing.T) Instance {
				c := &handClock{}
				st := memstore.New(memstore.Options{Clock: c.now})
				return Instance{Open: func(*testing.T) store.Store { return tt.wrong(st.Client()) }, Pass: c.pass}
			}
			var story []string
			var failed wrong
			goesWrong := func(steps []byte) bool {
				s, f := play(t, open, steps)
				if f != "" {
					story, failed = s, f
				}
				return f != ""
			}
			steps := randomHistories(1)
			for n := 0; ; n++ {
				if history := steps(); goesWrong(history) {
					shrink(history, goesWrong)
					break
				}
				if n == 100 {
					t.Fatal("nothing was found")
				}
			}
			if text := told(story); len(story) > 8 || !strings.Contains(text, tt.story) {
				t.Errorf("found %q after %d steps:\n%s", failed, len(story), text)
			}
		})
	}
}

func TestHistoriesCanBeWrittenDown(t *testing.T) {
	t.Parallel()
	steps := randomHistories(1)
	for range 100 {
		text := written(steps())
		again, err := read(text)
		if err != nil || written(again) != text {
			t.Fatalf("%q was read as %q, %v", text, written(again), err)
		}
	}
	for _, text := range []string{"jump", "push 256", "push -1", "push 0 0 0 0 0 0 0 0 0 0 0 0"} {
		if steps, err := read(text); err == nil {
			t.Errorf("%q was read as %q", text, written(steps))
		}
	}
}

// handClock is moved by hand.
type handClock struct{ ahead time.Duration }

func (c *handClock) now() time.Time       { return time.Unix(1_700_000_000, 0).Add(c.ahead) }
func (c *handClock) pass(d time.Duration) { c.ahead += d }

package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func TestWhatAHandlerReturnsDecides(t *testing.T) {
	t.Parallel()
	failed := func(n *wire.New) { n.Extra = []wire.Field{{Key: "retry_count", Value: []byte("1")}} }
	tests := map[string]struct {
		run    func(context.Context, *wire.Job) error
		policy Policy
		job    func(*wire.New)

		place  store.Place // -1: gone
		book   func(store.Books) int64
		class  string
		count  int // retry_count afterwards; 0 stands for none, too
		failed int64
	}{
		"nil": {
			run:   func(context.Context, *wire.Job) error { return nil },
			place: -1, book: func(b store.Books) int64 { return b.Done },
		},
		"an error": {
			run:   func(context.Context, *wire.Job) error { return errBoom },
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "error", failed: 1,
		},
		"another error": {
			run: func(context.Context, *wire.Job) error { return errBoom }, job: failed,
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "error", count: 2, failed: 1,
		},
		"a panic": {
			run:   func(context.Context, *wire.Job) error { panic("ouch") },
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "panic", failed: 1,
		},
		"a panic with an error that is a verdict": {
			run:   func(context.Context, *wire.Job) error { panic(&verdict.Discard{Err: errBoom}) },
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "panic", failed: 1,
		},
		"runtime.Goexit": {
			run:   func(context.Context, *wire.Job) error { runtime.Goexit(); return nil },
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "error", failed: 1,
		},
		"an error that panics": {
			run:   func(context.Context, *wire.Job) error { return (*hollow)(nil) },
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "panic", failed: 1,
		},
		"an error, and a backoff that panics": {
			run: func(context.Context, *wire.Job) error { return errBoom }, policy: Policy{Backoff: func(int, error) time.Duration { panic("ouch") }},
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "error", failed: 1,
		},
		"the last error": {
			run: func(context.Context, *wire.Job) error { return errBoom }, job: failed, policy: Policy{Retry: wire.RetryTimes(2)},
			place: store.Dead, book: func(b store.Books) int64 { return b.Buried }, class: "error", count: 2, failed: 1,
		},
		"an error, no retries": {
			run: func(context.Context, *wire.Job) error { return errBoom }, job: func(n *wire.New) { n.Retry = wire.RetryTimes(0) },
			place: store.Dead, book: func(b store.Books) int64 { return b.Buried }, class: "error", failed: 1,
		},
		"an error, retry false": {
			run: func(context.Context, *wire.Job) error { return errBoom }, job: func(n *wire.New) { n.Retry = wire.NoRetry },
			place: -1, book: func(b store.Books) int64 { return b.Discarded }, failed: 1,
		},
		"an error, dead false": {
			run: func(context.Context, *wire.Job) error { return errBoom }, job: func(n *wire.New) { n.Retry = wire.RetryTimes(0); n.NoDead = true },
			place: -1, book: func(b store.Books) int64 { return b.Discarded }, failed: 1,
		},
		"Snooze": {
			run:   func(context.Context, *wire.Job) error { return fmt.Errorf("later: %w", &verdict.Snooze{D: time.Hour}) },
			place: store.Scheduled, book: func(b store.Books) int64 { return b.Scheduled },
		},
		"Discard": {
			run:   func(context.Context, *wire.Job) error { return &verdict.Discard{Err: errBoom} },
			place: -1, book: func(b store.Books) int64 { return b.Discarded }, failed: 1,
		},
		"Bury": {
			run:   func(context.Context, *wire.Job) error { return &verdict.Bury{Err: errBoom} },
			place: store.Dead, book: func(b store.Books) int64 { return b.Buried }, class: "error", failed: 1,
		},
		"ErrYield": {
			run:   func(context.Context, *wire.Job) error { return verdict.ErrYield },
			place: store.Scheduled, book: func(b store.Books) int64 { return b.Scheduled },
		},
		"nothing before the timeout": {
			run: func(ctx context.Context, _ *wire.Job) error { <-ctx.Done(); return ctx.Err() }, policy: Policy{Timeout: 300 * time.Millisecond},
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "timeout", failed: 1,
		},
		"nil after the timeout": {
			run: func(ctx context.Context, _ *wire.Job) error { <-ctx.Done(); return nil }, policy: Policy{Timeout: 300 * time.Millisecond},
			place: -1, book: func(b store.Books) int64 { return b.Done },
		},
		"nothing, since it had expired": {
			run:   func(context.Context, *wire.Job) error { return errors.New("ran") },
			job:   func(n *wire.New) { n.History.Expires = time.Now().Add(-time.Second) },
			place: -1, book: func(b store.Books) int64 { return b.Expired },
		},
		"an error, late, but it had begun in time": {
			run:   func(context.Context, *wire.Job) error { return errBoom },
			job:   func(n *wire.New) { n.History.Expires = time.Now().Add(-time.Second); n.History.Interruptions = 1 },
			place: store.Retrying, book: func(b store.Books) int64 { return b.Retried }, class: "error", failed: 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				o := w.options(nil)
				o.Handlers["Job"] = &Handler{Run: tt.run, Policy: tt.policy}
				p := w.start(o)
				jid := w.push("Job", func(n *wire.New) {
					if tt.job != nil {
						tt.job(n)
					}
				})
				time.Sleep(500 * time.Millisecond)
				job, place := w.entry(jid)
				equal(t, "place", place, tt.place)
				equal(t, "count in the books", tt.book(w.book()), 1)
				equal(t, "failures", w.stats().Failed, tt.failed)
				if job != nil {
					equal(t, "error class", job.ErrorClass, tt.class)
					equal(t, "retry_count", max(job.Count, 0), tt.count)
					equal(t, "arguments", string(job.Args), "[9007199254740993]")
				}
				p.end()
			})
		})
	}
}

// hollow is an error that cannot be asked for anything when it is nil.
type hollow struct{ text string }

func (h *hollow) Error() string { return h.text }
func (h *hollow) Unwrap() error { return errors.New(h.text) }

func TestAJobThatCannotBeReadIsBuriedAsItIs(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`not json`, `{"jid":"1","args":[]}`, `{"class":"Job","jid":"1","args":{}}`, `[]`, ``} {
		t.Run(payload, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error { return nil }})
				item := store.Item{JID: "1", Queue: "default", Kind: "Job", Payload: []byte(payload)}
				if _, err := w.mem.Push(w.Context(), store.Call{}, item); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				n := 0
				for e, err := range w.mem.Jobs(w.Context(), store.Query{Place: store.Dead}) {
					if err != nil {
						t.Fatal(err)
					}
					n++
					equal(t, "payload", string(e.Payload), payload)
				}
				equal(t, "dead jobs", n, 1)
				equal(t, "lines that say so", w.log.count("job buried: its payload"), 1)
				p.end()
			})
		})
	}
}

func TestAPanicKeepsItsStack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error { panic("ouch") }})
		jid := w.push("Job")
		time.Sleep(time.Second)
		job, _ := w.entry(jid)
		lines, err := job.ErrorBacktrace()
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) == 0 || !strings.Contains(lines[0], "verdict_test.go") || !strings.Contains(lines[0], "TestAPanicKeepsItsStack") {
			t.Errorf("the stack does not begin where the panic was: %q", lines)
		}
		equal(t, "message", job.ErrorMessage, "panic: ouch")
		p.end()
	})
}

func TestRetriesFollowThePolicy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		job    wire.Job
		policy Policy
		count  int

		again, dead bool
	}{
		"the first failure":             {again: true},
		"the 25th":                      {count: 24, again: true},
		"the 26th":                      {count: 25, dead: true},
		"limit in the payload":          {job: wire.Job{Retry: wire.RetryTimes(3)}, policy: Policy{Retry: wire.RetryTimes(9)}, count: 3, dead: true},
		"limit of the kind":             {policy: Policy{Retry: wire.RetryTimes(3)}, count: 3, dead: true},
		"limit of the kind, retry true": {job: wire.Job{Retry: wire.RetryTrue}, policy: Policy{Retry: wire.RetryTimes(3)}, count: 3, dead: true},
		"retry 0":                       {job: wire.Job{Retry: wire.RetryTimes(0)}, dead: true},
		"retry false":                   {job: wire.Job{Retry: wire.NoRetry}},
		"retry false of the kind":       {policy: Policy{Retry: wire.NoRetry}},
		"dead false":                    {job: wire.Job{NoDead: true}, count: 25},
		"dead false of the kind":        {policy: Policy{NoDead: true}, count: 25},
		"retry_for, first failure":      {job: wire.Job{RetryFor: time.Hour}, again: true},
		"retry_for replaces the count":  {job: wire.Job{RetryFor: time.Hour, FailedAt: now.Add(-59 * time.Minute)}, count: 99, again: true},
		"retry_for is over":             {job: wire.Job{RetryFor: time.Hour, FailedAt: now.Add(-time.Hour)}, count: 1, dead: true},
		"retry_for of the kind":         {job: wire.Job{FailedAt: now.Add(-time.Hour)}, policy: Policy{RetryFor: time.Minute}, count: 1, dead: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			again, dead := tt.policy.after(&tt.job, tt.count, now)
			if again != tt.again || dead != tt.dead {
				t.Errorf("again %v, dead %v; want %v, %v", again, dead, tt.again, tt.dead)
			}
		})
	}
}

func TestRetryGoesToTheRetryQueueAfterTheBackoff(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var asked []int
		o := w.options(nil)
		o.Handlers["Job"] = &Handler{
			Run: func(_ context.Context, job *wire.Job) error {
				if job.Count < 1 {
					return errBoom
				}
				return nil
			},
			Policy: Policy{Backoff: func(n int, err error) time.Duration {
				asked = append(asked, n)
				return time.Duration(n) * time.Minute
			}},
		}
		o.Groups[0].Queues = append(o.Groups[0].Queues, store.Share{Queue: "slow"})
		p := w.start(o)
		w.push("Job", func(n *wire.New) { n.RetryQueue = "slow" })
		time.Sleep(50 * time.Second)
		equal(t, "done before the backoff", w.stats().Processed, 1)
		time.Sleep(20 * time.Second)
		equal(t, "done after the first", w.stats().Processed, 2)
		time.Sleep(2 * time.Minute)
		equal(t, "what the backoff was asked", asked, []int{1, 2})
		for _, b := range w.stats().Books {
			if b.Queue == "slow" {
				equal(t, "done from the retry queue", b.Done, 1)
			}
		}
		p.end()
	})
}

func TestUnknownKinds(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		inWorld(t, func(w *world) {
			p := w.run(nil)
			jid := w.push("Other")
			time.Sleep(time.Second)
			job, place := w.entry(jid)
			equal(t, "place", place, store.Retrying)
			equal(t, "retry_count", job.Count, 0)
			equal(t, "message", job.ErrorMessage, "no handler for the kind Other in this process")
			p.end()
		})
	})
	t.Run("beside Ruby", func(t *testing.T) {
		t.Parallel()
		inWorld(t, func(w *world) {
			o := w.options(map[string]func(context.Context, *wire.Job) error{"Mine": func(context.Context, *wire.Job) error { return nil }})
			o.Store = shared{w.flaky}
			p := w.start(o)
			jids := []string{w.push("Other"), w.push("Other"), w.push("Mine", func(n *wire.New) { n.Extra = []wire.Field{{Key: "bid", Value: []byte(`"b1"`)}} })}
			before, _ := w.entry(jids[0])
			time.Sleep(time.Minute)
			for _, jid := range jids {
				job, _ := w.entry(jid)
				equal(t, "retry_count", job.Count, -1)
			}
			after, _ := w.entry(jids[0])
			equal(t, "kind", after.Kind, before.Kind)
			equal(t, "failures", w.stats().Failed, 0)
			equal(t, "warnings", w.log.count("given back for others"), 2)
			p.end()
		})
	})
}

// shared is a store that Ruby may use as well.
type shared struct{ store.Store }

func (s shared) Describe() store.Description {
	d := s.Store.Describe()
	d.RubyShares = true
	return d
}

func TestErrorClass(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"error":                   fmt.Errorf("a: %w", errors.New("b")),
		"panic":                   &PanicError{Value: errBoom},
		"timeout":                 fmt.Errorf("%w: %w", verdict.ErrTimeout, context.Canceled),
		"runner.UnknownKindError": fmt.Errorf("a: %w", &UnknownKindError{"K"}),
	} {
		equal(t, "class", errorClass(err), want)
	}
}

package ebbtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/ebbtest"
	"github.com/ebbjobs/ebb/store"
)

func TestMain(m *testing.M) {
	code := m.Run()
	t.end()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

type Count struct {
	N    int64
	Next int `ebb:"optional"`
}

var (
	count = ebb.Define[Count]("Count")
	other = ebb.Define[struct{}]("Other")
	low   = ebb.Define[Count]("Low", ebb.Queue("low"))

	errBroken = errors.New("broken")
)

var quiet = ebb.Config{Logger: slog.New(slog.DiscardHandler)}

// ran collects what handlers saw.
type ran struct {
	mu sync.Mutex
	n  []int64
}

func (r *ran) add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = append(r.n, n)
}

func (r *ran) all() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.n))
}

// handlers counts, and does what a Count says: a negative one fails; one with Next
// enqueues as many others, with numbers below its own.
func handlers(client **ebb.Client, r *ran) func(*ebb.Process) {
	return func(p *ebb.Process) {
		run := func(ctx context.Context, c Count) error {
			r.add(c.N)
			for i := range c.Next {
				if _, err := count.Enqueue(ctx, *client, Count{N: c.N - 1 - int64(i)}); err != nil {
					return err
				}
			}
			if c.N < 0 {
				return fmt.Errorf("count %d: %w", c.N, errBroken)
			}
			return nil
		}
		count.Handle(p, run)
		low.Handle(p, run)
	}
}

func inline(t *testing.T, cfg ebb.Config, opts ...ebb.ClientOption) (*ebb.Client, *ran) {
	t.Helper()
	var client *ebb.Client
	r := &ran{}
	client = ebbtest.Inline(t, cfg, handlers(&client, r), opts...)
	return client, r
}

func TestInlineRunsWithinEnqueue(t *testing.T) {
	t.Parallel()
	const big = 9007199254740993 // no float64
	one := quiet
	one.Concurrency = 1
	cases := []struct {
		name string
		cfg  ebb.Config
		do   func(context.Context, *ebb.Client) error
		want []int64
		err  error
	}{
		{"one job", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: big})
			return err
		}, []int64{big}, nil},
		{"for later", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: 1}, ebb.In(time.Hour))
			return err
		}, []int64{1}, nil},
		{"one that fails", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: -1})
			return err
		}, []int64{-1}, errBroken},
		{"one that fails and has no retries", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: -1}, ebb.Retry(0))
			return err
		}, []int64{-1}, errBroken},
		{"a batch", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.EnqueueMany(ctx, c, []Count{{N: 1}, {N: 2}, {N: 3}})
			return err
		}, []int64{1, 2, 3}, nil},
		{"a batch of which one fails", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.EnqueueMany(ctx, c, []Count{{N: 1}, {N: -2}, {N: 3}})
			return err
		}, []int64{-2, 1, 3}, errBroken},
		{"one that enqueues two", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: 3, Next: 2})
			return err
		}, []int64{1, 2, 3}, nil},
		{"the same with one slot", one, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: 3, Next: 2})
			return err
		}, []int64{1, 2, 3}, nil},
		{"one that enqueues one that fails", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c, Count{N: 0, Next: 1})
			return err
		}, []int64{-1, 0}, errBroken},
		{"the same jid twice", quiet, func(ctx context.Context, c *ebb.Client) error {
			for range 2 {
				if _, err := count.Enqueue(ctx, c, Count{N: 5}, ebb.JID("0123456789abcdef01234567")); err != nil {
					return err
				}
			}
			return nil
		}, []int64{5, 5}, nil},
		{"in a transaction, of which it takes no notice", quiet, func(ctx context.Context, c *ebb.Client) error {
			_, err := count.Enqueue(ctx, c.InTx("any"), Count{N: 1})
			return err
		}, []int64{1}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, r := inline(t, c.cfg)
			began := time.Now()
			if err := c.do(t.Context(), client); !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			} else if errors.Is(err, ebb.ErrUncertain) {
				t.Errorf("a job that has run is uncertain: %v", err)
			}
			if diff := cmp.Diff(c.want, r.all()); diff != "" {
				t.Errorf("ran (-want +got)\n%s", diff)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			stats, err := client.Store().Stats(t.Context())
			if err != nil || stats.Ready+stats.Held+stats.Retrying+stats.Scheduled != 0 {
				t.Errorf("left behind: %+v, %v", stats, err)
			}
		})
	}
}

func TestInlineVerdicts(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		verdict func() error
		want    string // in the error; "" for none
	}{
		{"nil", func() error { return nil }, ""},
		{"snooze", func() error { return ebb.Snooze(time.Hour) }, ""},
		{"yield", func() error { return ebb.ErrYield }, ""},
		{"discard", func() error { return ebb.Discard(errBroken) }, ""},
		{"bury", func() error { return ebb.Bury(errBroken) }, "broken"},
		{"panic", func() error { panic("ouch") }, "ouch"},
		{"error", func() error { return errBroken }, "Other "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := ebbtest.Inline(t, quiet, func(p *ebb.Process) {
				other.Handle(p, func(context.Context, struct{}) error { return c.verdict() })
			})
			_, err := other.Enqueue(t.Context(), client, struct{}{})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestInlineRefuses(t *testing.T) {
	t.Parallel()
	client, _ := inline(t, quiet)
	t.Run("a queue that nobody serves", func(t *testing.T) {
		_, err := low.Enqueue(t.Context(), client, Count{})
		if err == nil || !strings.Contains(err.Error(), `nobody serves the queue "low": Config names ["default"]`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a kind that nobody handles", func(t *testing.T) {
		_, err := other.Enqueue(t.Context(), client, struct{}{})
		if err == nil || !strings.Contains(err.Error(), "no handler for the kind Other") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("arguments that do not fit", func(t *testing.T) {
		_, err := client.Push(t.Context(), ebb.Envelope{Kind: "Count", Args: []byte(`["one"]`)})
		if arg, ok := errors.AsType[*ebb.ArgError](err); !ok || arg.Position != 1 {
			t.Errorf("error %v", err)
		}
	})
}

func TestInlineCallsTheMiddlewareOfBothSides(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	note := func(what string) ebb.Middleware {
		return func(ctx context.Context, e *ebb.Envelope, next func(context.Context) error) error {
			mu.Lock()
			seen = append(seen, what)
			mu.Unlock()
			return next(ctx)
		}
	}
	drop := func(ctx context.Context, e *ebb.Envelope, next func(context.Context) error) error {
		if slices.Contains(e.Tags, "drop") {
			return nil
		}
		return next(ctx)
	}
	cfg := quiet
	cfg.Middleware = []ebb.Middleware{note("process 1"), note("process 2")}
	client, r := inline(t, cfg, ebb.WithMiddleware(note("client"), drop))
	for _, tag := range []string{"keep", "drop"} {
		if _, err := count.Enqueue(t.Context(), client, Count{N: 7}, ebb.Tags(tag)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"client", "process 1", "process 2", "client"}, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]int64{7}, r.all()); diff != "" {
		t.Errorf("ran (-want +got)\n%s", diff)
	}
}

func TestInlineEndsWithItsContext(t *testing.T) {
	t.Parallel()
	client := ebbtest.Inline(t, quiet, func(p *ebb.Process) {
		other.Handle(p, func(ctx context.Context, _ struct{}) error {
			<-ctx.Done() // by the stop when the test ends
			return ctx.Err()
		})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := other.Enqueue(ctx, client, struct{}{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestInlineInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := ebbtest.Inline(t, quiet, func(p *ebb.Process) {
			other.Handle(p, func(context.Context, struct{}) error {
				time.Sleep(time.Minute)
				return nil
			})
		})
		began := time.Now()
		if _, err := other.Enqueue(t.Context(), client, struct{}{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

func TestFakeKeepsWhatIsEnqueued(t *testing.T) {
	t.Parallel()
	drop := func(ctx context.Context, e *ebb.Envelope, next func(context.Context) error) error {
		if e.Kind == "Other" {
			return nil
		}
		return next(ctx)
	}
	client, rec := ebbtest.Fake(t, ebb.WithMiddleware(drop))
	if got := ebbtest.Enqueued(rec, count); got != nil {
		t.Errorf("before anything: %v", got)
	}
	ctx := t.Context()
	count.Enqueue(ctx, client, Count{N: 2})
	low.Enqueue(ctx, client, Count{N: 9})
	other.Enqueue(ctx, client, struct{}{})
	count.Enqueue(ctx, client.InTx(nil), Count{N: 3}, ebb.In(time.Hour))
	count.EnqueueMany(ctx, client, []Count{{N: 1}, {N: 4, Next: 5}})

	if diff := cmp.Diff([]Count{{N: 2}, {N: 3}, {N: 1}, {N: 4, Next: 5}}, ebbtest.Enqueued(rec, count)); diff != "" {
		t.Errorf("Count (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]Count{{N: 9}}, ebbtest.Enqueued(rec, low)); diff != "" {
		t.Errorf("Low (-want +got)\n%s", diff)
	}
	if got := ebbtest.Enqueued(rec, other); got != nil {
		t.Errorf("dropped, and yet enqueued: %v", got)
	}
	var delays []time.Duration
	for _, item := range rec.Items() {
		delays = append(delays, item.Delay)
	}
	if diff := cmp.Diff([]time.Duration{0, 0, time.Hour, 0, 0}, delays); diff != "" {
		t.Errorf("delays (-want +got)\n%s", diff)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	both := quiet
	both.Queues = []string{"default", "low"}
	cases := []struct {
		name  string
		cfg   ebb.Config
		fill  func(context.Context, *ebb.Client)
		all   bool
		ran   []int64
		err   string
		place store.Place
		left  int // in place
	}{
		{"nothing", quiet, func(context.Context, *ebb.Client) {}, false, nil, "", store.Ready, 0},
		{"jobs of two queues", both, func(ctx context.Context, c *ebb.Client) {
			count.Enqueue(ctx, c, Count{N: 1})
			low.Enqueue(ctx, c, Count{N: 2})
		}, false, []int64{1, 2}, "", store.Ready, 0},
		{"jobs that enqueue jobs", quiet, func(ctx context.Context, c *ebb.Client) {
			count.Enqueue(ctx, c, Count{N: 10, Next: 4})
		}, false, []int64{6, 7, 8, 9, 10}, "", store.Ready, 0},
		{"one that fails is tried once", quiet, func(ctx context.Context, c *ebb.Client) {
			count.EnqueueMany(ctx, c, []Count{{N: 1}, {N: -1}})
		}, false, []int64{-1, 1}, "count -1: broken", store.Retrying, 1},
		{"one for later waits", quiet, func(ctx context.Context, c *ebb.Client) {
			count.Enqueue(ctx, c, Count{N: 1}, ebb.In(time.Hour))
		}, false, nil, "", store.Scheduled, 1},
		{"unless all are to run", quiet, func(ctx context.Context, c *ebb.Client) {
			count.Enqueue(ctx, c, Count{N: 1}, ebb.In(time.Hour))
			count.Enqueue(ctx, c, Count{N: 2}, ebb.At(time.Now().Add(48*time.Hour)))
		}, true, []int64{1, 2}, "", store.Scheduled, 0},
		{"a queue that is not served", quiet, func(ctx context.Context, c *ebb.Client) {
			count.Enqueue(ctx, c, Count{N: 1})
			low.Enqueue(ctx, c, Count{N: 2})
		}, false, []int64{1}, `nobody serves the queue "low"`, store.Ready, 1},
		{"a queue that is paused", both, func(ctx context.Context, c *ebb.Client) {
			low.Enqueue(ctx, c, Count{N: 2})
			c.Store().Pause(ctx, "low", true)
		}, false, nil, `the queue "low" is paused`, store.Ready, 1},
		{"a kind that nobody handles", quiet, func(ctx context.Context, c *ebb.Client) {
			other.Enqueue(ctx, c, struct{}{})
		}, false, nil, "no handler for the kind Other", store.Retrying, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, rec := ebbtest.Fake(t)
			r := &ran{}
			c.fill(t.Context(), client)
			drain := rec.Drain
			if c.all {
				drain = rec.DrainAll
			}
			n, err := drain(t.Context(), c.cfg, handlers(&client, r))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.ran, r.all()); diff != "" || n != len(c.ran) {
				t.Errorf("%d runs (-want +got)\n%s", n, diff)
			}
			left := 0
			for _, queue := range []string{"default", "low"} {
				for range client.Store().Jobs(t.Context(), store.Query{Place: c.place, Queue: queue}) {
					left++
				}
			}
			if left != c.left {
				t.Errorf("%d %v, want %d", left, c.place, c.left)
			}
		})
	}
}

func TestDrainAgain(t *testing.T) {
	t.Parallel()
	client, rec := ebbtest.Fake(t)
	r := &ran{}
	for i := range int64(3) {
		count.Enqueue(t.Context(), client, Count{N: i})
		n, err := rec.Drain(t.Context(), quiet, handlers(&client, r))
		if n != 1 || err != nil {
			t.Errorf("drain %d: %d runs, %v", i, n, err)
		}
	}
	if diff := cmp.Diff([]int64{0, 1, 2}, r.all()); diff != "" {
		t.Errorf("ran (-want +got)\n%s", diff)
	}
	if got := ebbtest.Enqueued(rec, count); len(got) != 3 {
		t.Errorf("jobs that have run are forgotten: %v", got)
	}
}

func TestDrainGoesOnFromACheckpoint(t *testing.T) {
	t.Parallel()
	client, rec := ebbtest.Fake(t)
	other.Enqueue(t.Context(), client, struct{}{})
	resumed := make(chan int, 2)
	ctx, cancel := context.WithCancel(t.Context())
	register := func(p *ebb.Process) {
		other.Handle(p, func(ctx context.Context, _ struct{}) error {
			at, found, err := ebb.Resume[int](ctx)
			if err != nil || found {
				resumed <- at
				return err
			}
			if err := ebb.Checkpoint(ctx, 41); err != nil {
				return err
			}
			cancel() // the first Drain
			<-ctx.Done()
			return ctx.Err()
		})
	}
	if n, err := rec.Drain(ctx, quiet, register); n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %d runs, %v", n, err)
	}
	if n, err := rec.Drain(t.Context(), quiet, register); n != 1 || err != nil {
		t.Errorf("afterwards: %d runs, %v", n, err)
	}
	select {
	case at := <-resumed:
		if at != 41 {
			t.Errorf("resumed at %d", at)
		}
	default:
		t.Error("not resumed")
	}
}

func TestDrainTellsWhatIsWrongWithItsConfig(t *testing.T) {
	t.Parallel()
	_, rec := ebbtest.Fake(t)
	if _, err := rec.Drain(t.Context(), ebb.Config{Concurrency: -1}, func(*ebb.Process) {}); err == nil || !strings.Contains(err.Error(), "Concurrency: -1 is negative") {
		t.Errorf("error %v", err)
	}
}

func TestDrainAllRunsWhatSnoozed(t *testing.T) {
	t.Parallel()
	client, rec := ebbtest.Fake(t)
	other.Enqueue(t.Context(), client, struct{}{})
	runs := 0
	n, err := rec.DrainAll(t.Context(), quiet, func(p *ebb.Process) {
		other.Handle(p, func(context.Context, struct{}) error {
			if runs++; runs < 3 {
				return ebb.Snooze(time.Hour)
			}
			return nil
		})
	})
	if n != 3 || err != nil {
		t.Errorf("%d runs, %v", n, err)
	}
}

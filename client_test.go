package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// meddler stands before a store and interferes with what comes in.
type meddler struct {
	store.Store
	before func(n int) error // the n-th call, from 1, does not reach the store
	after  func(n int) error // the reply of the n-th call is replaced by this error

	mu    sync.Mutex
	calls []store.Call
	sizes []int
	late  []bool
}

func (m *meddler) Push(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	return m.meddle(ctx, false, m.Store.Push, call, items)
}

func (m *meddler) Schedule(ctx context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	return m.meddle(ctx, true, m.Store.Schedule, call, items)
}

func (m *meddler) meddle(ctx context.Context, late bool, put putter, call store.Call, items []store.Item) ([]store.Result, error) {
	m.mu.Lock()
	m.calls, m.sizes, m.late = append(m.calls, call), append(m.sizes, len(items)), append(m.late, late)
	n := len(m.calls)
	m.mu.Unlock()
	if m.before != nil {
		if err := m.before(n); err != nil {
			return nil, err
		}
	}
	results, err := put(ctx, call, items...)
	if m.after != nil && err == nil {
		if err := m.after(n); err != nil {
			return nil, err
		}
	}
	return results, err
}

// meddled returns a client of a new store with something in between.
func meddled(opts ...ClientOption) (*Client, *meddler) {
	m := &meddler{Store: memstore.New(memstore.Options{})}
	return NewClient(m, append([]ClientOption{WithLogger(slog.New(slog.DiscardHandler))}, opts...)...), m
}

// waiting returns the payloads in a queue from its front, or those of the scheduled
// set for an empty name.
func waiting(t *testing.T, c *Client, queue string) []string {
	t.Helper()
	q := store.Query{Place: store.Ready, Queue: queue}
	if queue == "" {
		q.Place = store.Scheduled
	}
	var payloads []string
	for entry, err := range c.Store().Jobs(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, string(entry.Payload))
	}
	return payloads
}

type mail struct {
	UserID int64
	Locale string `ebb:"optional"`
}

var errLost = errors.New("connection reset")

func first(n int, err error) func(int) error {
	return func(call int) error {
		if call <= n {
			return err
		}
		return nil
	}
}

func TestEnqueueWritesSidekiqsPayload(t *testing.T) {
	t.Parallel()
	job := Define[mail]("WelcomeJob", Queue("mailers"), Retry(10))
	for _, test := range []struct {
		name  string
		opts  []Option
		queue string // empty: scheduled
		want  string
	}{
		{"plain", nil, "mailers",
			`{"retry":10,"queue":"mailers","args":[42],"class":"WelcomeJob","jid":"j","created_at":946684800.0,"enqueued_at":946684800.0}`},
		{"due in the past", []Option{At(time.Unix(1, 0))}, "mailers",
			`{"retry":10,"queue":"mailers","args":[42],"class":"WelcomeJob","jid":"j","created_at":946684800.0,"enqueued_at":946684800.0}`},
		{"delayed", []Option{In(time.Hour)}, "",
			`{"retry":10,"queue":"mailers","args":[42],"class":"WelcomeJob","jid":"j","created_at":946684800.0}`},
		{"all", []Option{Queue("low"), NoRetry(), RetryFor(90 * time.Second), RetryQueue("slow"), NoDead(), Backtrace(AllLines), Tags("a", "b"),
			Timeout(1500 * time.Millisecond), Expires(time.Minute), HideArgs(), Field("tenant", "<7>"), Field("trace", 1), Field("tenant", "<8>")}, "low",
			`{"retry":false,"queue":"low","backtrace":true,"tags":["a","b"],"retry_queue":"slow","retry_for":90,"dead":false,` +
				`"tenant":"<8>","trace":1,"args":[42],"class":"WelcomeJob","jid":"j","created_at":946684800.0,"enqueued_at":946684800.0,` +
				`"ebb":{"to":1.5,"exp":946684860.0,"hide":true}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := meddled()
				ref, err := job.Enqueue(t.Context(), c, mail{UserID: 42}, append(test.opts, JID("j"))...)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{test.want}, waiting(t, c, test.queue)); diff != "" {
					t.Errorf("payload (-want +got):\n%s", diff)
				}
				queue := test.queue
				if queue == "" {
					queue = "mailers"
				}
				if want := (Ref{JID: "j", Queue: queue, Kind: "WelcomeJob"}); ref != want {
					t.Errorf("ref %+v, want %+v", ref, want)
				}
			})
		})
	}
}

func TestDefaultsOfAJobAreSidekiqs(t *testing.T) {
	t.Parallel()
	c, _ := meddled()
	ref, err := Define[struct{}]("Plain").Enqueue(t.Context(), c, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if len(ref.JID) != 24 || ref.Queue != "default" {
		t.Errorf("ref %+v, want 24 digits in default", ref)
	}
	job, err := wire.Parse([]byte(waiting(t, c, "default")[0]))
	if err != nil {
		t.Fatal(err)
	}
	if job.Retry != wire.RetryTrue || string(job.Args) != "[]" || !job.History.IsZero() {
		t.Errorf("retry %v, args %s, history %+v", job.Retry, job.Args, job.History)
	}
}

func TestDelaysAreTheStoresToCount(t *testing.T) {
	t.Parallel()
	job := Define[mail]("WelcomeJob", In(time.Hour))
	synctest.Test(t, func(t *testing.T) {
		when := time.Now().Add(30 * time.Minute)
		for _, test := range []struct {
			name string
			opts []Option
			want time.Time // zero: at once
		}{
			{"the default", nil, time.Now().Add(time.Hour)},
			{"another delay", []Option{In(time.Minute)}, time.Now().Add(time.Minute)},
			{"a moment", []Option{At(when)}, when},
			{"the later option counts", []Option{At(when), In(time.Minute)}, time.Now().Add(time.Minute)},
			{"no delay", []Option{In(0)}, time.Time{}},
			{"a negative delay", []Option{In(-time.Second)}, time.Time{}},
			{"now", []Option{At(time.Now())}, time.Time{}},
		} {
			c, _ := meddled()
			if _, err := job.Enqueue(t.Context(), c, mail{}, test.opts...); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			var due []time.Time
			for entry, err := range c.Store().Jobs(t.Context(), store.Query{Place: store.Scheduled}) {
				if err != nil {
					t.Fatal(err)
				}
				due = append(due, entry.At)
			}
			switch {
			case test.want.IsZero() && len(due) > 0:
				t.Errorf("%s: due %v, want at once", test.name, due)
			case !test.want.IsZero() && (len(due) != 1 || !due[0].Equal(test.want)):
				t.Errorf("%s: due %v, want %v", test.name, due, test.want)
			}
		}
	})
}

func TestExpiryCountsFromTheMomentOfBeingDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := meddled()
		job := Define[mail]("WelcomeJob", Expires(time.Minute))
		if _, err := job.Enqueue(t.Context(), c, mail{}, In(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := job.Enqueue(t.Context(), c, mail{}, At(time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		for _, payload := range waiting(t, c, "") {
			parsed, err := wire.Parse([]byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			if want := time.Now().Add(time.Hour + time.Minute); !parsed.History.Expires.Equal(want) {
				t.Errorf("expires %v, want %v", parsed.History.Expires, want)
			}
		}
	})
}

func TestEnqueueManyKeepsOrderInFewCalls(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	job := Define[int]("Count")
	args := make([]int, 2*store.MaxBatch+500)
	for i := range args {
		args[i] = i
	}
	refs, err := job.EnqueueMany(t.Context(), c, args)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{store.MaxBatch, store.MaxBatch, 500}; !slices.Equal(m.sizes, want) {
		t.Errorf("calls of %v jobs, want %v", m.sizes, want)
	}
	for i, payload := range waiting(t, c, "default") {
		parsed, err := wire.Parse([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := job.Decode(parsed.Args); n != i || err != nil || parsed.JID != refs[i].JID {
			t.Fatalf("place %d: argument %d of job %s (%v), ref %+v", i, n, parsed.JID, err, refs[i])
		}
	}

	if refs, err := job.EnqueueMany(t.Context(), c, nil); err != nil || len(refs) != 0 || len(m.calls) != 3 {
		t.Errorf("an empty batch: refs %v, error %v, %d calls", refs, err, len(m.calls))
	}
}

func TestEnqueueManySplitsByBytes(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	large := strings.Repeat("x", 1<<20-1024)
	if _, err := Define[string]("Large").EnqueueMany(t.Context(), c, []string{large, large, large, large, large, large, large, large, large, large}); err != nil {
		t.Fatal(err)
	}
	if want := []int{8, 2}; !slices.Equal(m.sizes, want) {
		t.Errorf("calls of %v jobs, want %v", m.sizes, want)
	}
}

func TestNothingIsPushedIfOneCannotBe(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	job := Define[any]("Any")
	refs, err := job.EnqueueMany(t.Context(), c, []any{1, func() {}, 2})
	if arg, ok := errors.AsType[*ArgError](err); !ok || arg.Position != 1 || !strings.Contains(err.Error(), "ebb: enqueue Any: args[1]: argument 1") {
		t.Errorf("got error %v, want one that names args[1]", err)
	}
	if len(refs) != 0 || len(m.calls) != 0 {
		t.Errorf("refs %v after %d calls", refs, len(m.calls))
	}
	_, err = job.EnqueueMany(t.Context(), c, []any{1, strings.Repeat("x", 2<<20)})
	if !errors.Is(err, ErrTooLarge) || len(m.calls) != 0 {
		t.Errorf("got error %v after %d calls, want %v after none", err, len(m.calls), ErrTooLarge)
	}
}

func TestAnErrorEndsABatch(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	m.before = func(n int) error {
		if n == 2 {
			return store.ErrFull
		}
		return nil
	}
	refs, err := Define[int]("Count").EnqueueMany(t.Context(), c, make([]int, 3*store.MaxBatch))
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "3000 jobs, of which 1000 are accepted") {
		t.Errorf("got error %v", err)
	}
	accepted := slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool { return r.JID == "" })
	if len(refs) != 3*store.MaxBatch || len(accepted) != store.MaxBatch || len(m.calls) != 2 {
		t.Errorf("%d refs, %d with a jid, %d calls", len(refs), len(accepted), len(m.calls))
	}
}

func TestAContextThatHasEndedReachesNoStore(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ref, err := Define[mail]("WelcomeJob").Enqueue(ctx, c, mail{})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUncertain) || ref != (Ref{}) || len(m.calls) != 0 {
		t.Errorf("got %+v, %v after %d calls", ref, err, len(m.calls))
	}
}

func TestAPayloadAboveTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	c, m := meddled(WithMaxPayload(300))
	job := Define[string]("Text")
	_, err := job.Enqueue(t.Context(), c, strings.Repeat("x", 300), JID("j"))
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "bytes, and the limit is 300") || store.Hint(err) == "" {
		t.Errorf("got error %v, hint %q", err, store.Hint(err))
	}
	if _, err := job.Enqueue(t.Context(), c, "x"); err != nil || len(m.calls) != 1 {
		t.Errorf("a small one: %v, %d calls", err, len(m.calls))
	}
	c, _ = meddled(WithMaxPayload(0))
	if _, err := job.Enqueue(t.Context(), c, strings.Repeat("x", 3<<20)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "limit is 1048576") {
		t.Errorf("3 MiB by default: %v", err)
	}
}

func TestPushReachesAnyKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := meddled()
		extra := map[string]json.RawMessage{"wrapped": json.RawMessage(`"NightlyJob"`)}
		e := Envelope{Kind: "Reports::Nightly", Args: json.RawMessage(`[9007199254740993]`), Extra: extra, Tags: []string{"a"}}
		ref, err := c.Push(t.Context(), e, Queue("low"), Retry(0), JID("j"), Field("locale", "de"))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`{"retry":0,"queue":"low","tags":["a"],"locale":"de","wrapped":"NightlyJob","args":[9007199254740993],` +
			`"class":"Reports::Nightly","jid":"j","created_at":946684800.0,"enqueued_at":946684800.0}`}
		if diff := cmp.Diff(want, waiting(t, c, "low")); diff != "" {
			t.Errorf("payload (-want +got):\n%s", diff)
		}
		if ref != (Ref{JID: "j", Queue: "low", Kind: "Reports::Nightly"}) || len(extra) != 1 {
			t.Errorf("ref %+v, the caller's Extra %v", ref, extra)
		}
		if ref, err := c.Push(t.Context(), Envelope{Kind: "Bare"}); err != nil || ref.Queue != "default" || len(ref.JID) != 24 {
			t.Errorf("a bare envelope: %+v, %v", ref, err)
		}
	})
}

func TestPushRefusesWhatIsNoJob(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, test := range []struct {
		name string
		e    Envelope
		opts []Option
		want string
	}{
		{"no kind", Envelope{}, nil, "the kind is empty"},
		{"args no array", Envelope{Kind: "K", Args: raw(`{"a":1}`)}, nil, "not a JSON array"},
		{"args no JSON", Envelope{Kind: "K", Args: raw(`[1`)}, nil, "not a JSON array"},
		{"args and more", Envelope{Kind: "K", Args: raw(`[1],"class":"X"`)}, nil, "not a JSON array"},
		{"queue", Envelope{Kind: "K", Queue: "a{b}"}, nil, `queue "a{b}" has a brace`},
		{"jid", Envelope{Kind: "K", JID: "a b"}, nil, "white space"},
		{"tag", Envelope{Kind: "K", Tags: []string{""}}, nil, "not a tag"},
		{"field that is taken", Envelope{Kind: "K", Extra: map[string]json.RawMessage{"retry": raw("1")}}, nil, `the field "retry" is set by Retry`},
		{"field of ebb's", Envelope{Kind: "K", Extra: map[string]json.RawMessage{"ebb": raw("{}")}}, nil, `the field "ebb" is kept by ebb`},
		{"field no JSON", Envelope{Kind: "K", Extra: map[string]json.RawMessage{"x": nil}}, nil, `the field "x" is not JSON`},
		{"option", Envelope{Kind: "K"}, []Option{AsObject()}, "option AsObject means nothing to Enqueue, give it to Define"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ref, err := c.Push(t.Context(), test.e, test.opts...)
			if err == nil || !strings.Contains(err.Error(), test.want) || ref != (Ref{}) {
				t.Errorf("got %+v, %v, want an error about %q", ref, err, test.want)
			}
		})
	}
	if len(m.calls) != 0 {
		t.Errorf("%d calls reached the store", len(m.calls))
	}
}

// joinable is a store that can join a transaction, which is a *[]store.Item here.
type joinable struct {
	store.Store
	err error
}

type joined struct {
	*joinable
	tx *[]store.Item
}

func (j *joinable) Accepts(tx any) (store.Enqueuer, bool) {
	items, ok := tx.(*[]store.Item)
	return joined{j, items}, ok
}

func (j joined) Push(_ context.Context, call store.Call, items ...store.Item) ([]store.Result, error) {
	if call.Seq != 0 {
		return nil, errors.New("a push in a transaction cannot be repeated")
	}
	*j.tx = append(*j.tx, items...)
	return make([]store.Result, len(items)), j.err
}

func TestInTxEnqueuesInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	s := &joinable{Store: memstore.New(memstore.Options{})}
	c := NewClient(s)
	job := Define[mail]("WelcomeJob")
	var tx []store.Item
	ref, err := job.Enqueue(t.Context(), c.InTx(&tx), mail{UserID: 1})
	if err != nil || len(tx) != 1 || tx[0].JID != ref.JID {
		t.Errorf("%+v, %v, in the transaction: %v", ref, err, tx)
	}
	if got := waiting(t, c, "default"); len(got) != 0 {
		t.Errorf("outside of it: %v", got)
	}

	s.err = errLost // decided by the transaction, so neither repeated nor uncertain
	if _, err := job.Enqueue(t.Context(), c.InTx(&tx), mail{}); !errors.Is(err, errLost) || errors.Is(err, ErrUncertain) || len(tx) != 2 {
		t.Errorf("got error %v after %d pushes", err, len(tx))
	}

	for _, c := range []*Client{c, NewClient(memstore.New(memstore.Options{}))} {
		_, err := job.Enqueue(t.Context(), c.InTx("a string"), mail{})
		if !errors.Is(err, ErrNoTx) || !strings.Contains(err.Error(), "mem, with a string") || store.Hint(err) == "" {
			t.Errorf("got error %v, hint %q", err, store.Hint(err))
		}
		if _, err := job.Enqueue(t.Context(), c.InTx(nil), mail{}, In(time.Hour)); !errors.Is(err, ErrNoTx) {
			t.Errorf("no transaction at all: %v", err)
		}
	}
}

func TestWhoOpensAStoreClosesIt(t *testing.T) {
	t.Parallel()
	job := Define[mail]("WelcomeJob")
	c, err := Open(t.Context(), "mem:")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.InTx(nil).Close(); err != nil {
		t.Error(err)
	}
	if _, err := job.Enqueue(t.Context(), c, mail{}); err != nil {
		t.Errorf("after a client in a transaction was closed: %v", err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := job.Enqueue(t.Context(), c, mail{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	c = NewClient(memstore.New(memstore.Options{}))
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := job.Enqueue(t.Context(), c, mail{}); err != nil {
		t.Errorf("a store that the caller opened: %v", err)
	}

	if _, err := Open(t.Context(), "redis://me:secret@localhost"); err == nil || store.Hint(err) == "" || strings.Contains(err.Error(), "secret") {
		t.Errorf("a driver that is not linked in: %v, hint %q", err, store.Hint(err))
	}
}

func TestAJobThatWasNotDefined(t *testing.T) {
	t.Parallel()
	c, m := meddled()
	var job Job[int]
	if _, err := job.Enqueue(t.Context(), c, 1); err == nil {
		t.Error("Enqueue: no error")
	}
	if _, err := job.EnqueueMany(t.Context(), c, []int{1}); err == nil {
		t.Error("EnqueueMany: no error")
	}
	if _, err := job.Decode(nil); err == nil || job.Kind() != "" || len(m.calls) != 0 {
		t.Errorf("Decode: %v; kind %q; %d calls", err, job.Kind(), len(m.calls))
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	client := NewClient(memstore.New(memstore.Options{}))
	paused := func() bool {
		t.Helper()
		queues, err := client.Store().Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queues {
			if q.Name == "mailers" {
				return q.Paused
			}
		}
		return false
	}
	for name, step := range map[string]struct {
		call func(context.Context, string) error
		want bool
	}{"pause": {client.Pause, true}, "unpause": {client.Unpause, false}} {
		for range 2 { // the second call changes nothing
			if err := step.call(t.Context(), "mailers"); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if got := paused(); got != step.want {
			t.Errorf("after %s paused is %v", name, got)
		}
	}
	if err := client.Pause(t.Context(), "a b"); err == nil || !strings.Contains(err.Error(), `"a b"`) {
		t.Errorf("a bad name: %v", err)
	}
}

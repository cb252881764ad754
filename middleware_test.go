package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func TestMiddlewareIsNestedInOrder(t *testing.T) {
	t.Parallel()
	var log []string
	step := func(name string) Middleware {
		return func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
			log = append(log, name+" before "+e.Kind)
			err := next(context.WithValue(ctx, key(name), name))
			log = append(log, name+" after")
			return err
		}
	}
	last := func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
		log = append(log, ctx.Value(key("a")).(string)+ctx.Value(key("b")).(string))
		return next(ctx)
	}
	c, _ := meddled(WithMiddleware(step("a"), step("b")), WithMiddleware(last))
	if _, err := Define[int]("K").Enqueue(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	want := []string{"a before K", "b before K", "ab", "b after", "a after"}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type key string

func TestMiddlewareChangesWhatIsPushed(t *testing.T) {
	t.Parallel()
	shared := []string{"shared"}
	job := Define[int]("K", Tags(shared...))
	c, _ := meddled(WithMiddleware(func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
		e.JID = "" // comes back
		e.Queue = "other"
		e.Args = json.RawMessage(`["sealed"]`)
		e.Tags[0] = "mine"
		e.Extra = map[string]json.RawMessage{"trace": json.RawMessage(`"t"`)}
		return next(ctx)
	}))
	for range 2 {
		ref, err := job.Enqueue(t.Context(), c, 1, JID("j"))
		if err != nil {
			t.Fatal(err)
		}
		if want := (Ref{JID: "j", Queue: "other", Kind: "K"}); ref != want {
			t.Errorf("ref %+v, want %+v", ref, want)
		}
	}
	for _, payload := range waiting(t, c, "other") {
		got, err := wire.Parse([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if got.JID != "j" || string(got.Args) != `["sealed"]` || !slices.Equal(got.Tags, []string{"mine"}) || len(got.Extra()) != 1 {
			t.Errorf("payload %s", payload)
		}
	}
	if shared[0] != "shared" || job.def.defaults.tags[0] != "shared" {
		t.Errorf("a middleware reached the tags of all jobs: %v, %v", shared, job.def.defaults.tags)
	}
}

func TestMiddlewareCannotBreakAPayload(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Envelope){
		"the kind is empty":             func(e *Envelope) { e.Kind = "" },
		"the queue is empty":            func(e *Envelope) { e.Queue = "" },
		"not a JSON array":              func(e *Envelope) { e.Args = json.RawMessage(`[`) },
		`the field "jid" is set by JID`: func(e *Envelope) { e.Extra = map[string]json.RawMessage{"jid": nil} },
	} {
		c, m := meddled(WithMiddleware(func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
			spoil(e)
			return next(ctx)
		}))
		ref, err := Define[int]("K").Enqueue(t.Context(), c, 1)
		if err == nil || !strings.Contains(err.Error(), name) || ref != (Ref{}) || len(m.calls) != 0 {
			t.Errorf("%s: got %+v, %v after %d calls", name, ref, err, len(m.calls))
		}
	}
}

func TestWhatMiddlewareReturnsIsReturned(t *testing.T) {
	t.Parallel()
	errMine := errors.New("mine")
	for _, test := range []struct {
		name     string
		mw       Middleware
		full     bool
		want     string // of the error; empty: none
		accepted bool
	}{
		{"drop", func(context.Context, *Envelope, func(context.Context) error) error { return nil }, false, "", false},
		{"refuse", func(context.Context, *Envelope, func(context.Context) error) error { return errMine }, false, "mine", false},
		{"an error after the push", func(ctx context.Context, _ *Envelope, next func(context.Context) error) error {
			return errors.Join(next(ctx), errMine)
		}, false, "mine", true},
		{"a failed push", func(ctx context.Context, _ *Envelope, next func(context.Context) error) error {
			return next(ctx)
		}, true, ErrFull.Error(), false},
		{"a failed push that it deals with", func(ctx context.Context, _ *Envelope, next func(context.Context) error) error {
			next(ctx)
			return nil
		}, true, "", false},
		{"next twice", func(ctx context.Context, _ *Envelope, next func(context.Context) error) error {
			return errors.Join(next(ctx), next(ctx))
		}, false, "called next twice", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, m := meddled(WithMiddleware(test.mw))
			if test.full {
				m.before = func(int) error { return store.ErrFull }
			}
			ref, err := Define[int]("K").Enqueue(t.Context(), c, 1)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || (ref.JID != "") != test.accepted {
				t.Errorf("got %+v, %v, want error %q, accepted %v", ref, err, test.want, test.accepted)
			}
			want := 0
			if test.accepted {
				want = 1
			}
			if got := len(waiting(t, c, "default")); got != want {
				t.Errorf("%d jobs wait, want %d", got, want)
			}
		})
	}
}

func TestMiddlewareInABatch(t *testing.T) {
	t.Parallel()
	c, m := meddled(WithMiddleware(func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
		if string(e.Args) == "[1]" {
			return nil // dropped
		}
		return next(ctx)
	}))
	job := Define[int]("K")
	refs, err := job.EnqueueMany(t.Context(), c, []int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, payload := range waiting(t, c, "default") {
		parsed, err := wire.Parse([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, parsed.JID)
	}
	if want := []string{refs[0].JID, refs[2].JID}; !slices.Equal(got, want) || refs[1] != (Ref{}) || len(m.calls) != 1 {
		t.Errorf("waiting %v, refs %+v, %d calls", got, refs, len(m.calls))
	}

	errMine := errors.New("mine")
	c, m = meddled(WithMiddleware(func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
		if string(e.Args) == "[1]" {
			return errMine
		}
		return next(ctx)
	}))
	if _, err := job.EnqueueMany(t.Context(), c, []int{0, 1, 2}); !errors.Is(err, errMine) || !strings.Contains(err.Error(), "args[1]") || len(m.calls) != 0 {
		t.Errorf("got error %v after %d calls", err, len(m.calls))
	}
}

func TestMiddlewareAroundARun(t *testing.T) {
	t.Parallel()
	payload := []byte(`{"class":"K","args":["sealed"],"jid":"j","queue":"q","tags":["a"],"cattr":{"user":9007199254740993}}`)
	job, err := wire.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	var seen Envelope
	var args []string
	unseal := func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
		seen = *e
		e.Args = json.RawMessage(`["open"]`)
		if err := next(ctx); err == nil {
			return ErrYield
		}
		return nil
	}
	run := served([]Middleware{unseal}, func(_ context.Context, job *wire.Job) error {
		args = append(args, string(job.Args))
		return nil
	})
	if err := run(t.Context(), job); err != ErrYield {
		t.Errorf("verdict %v, want that of the middleware", err)
	}
	want := Envelope{Kind: "K", JID: "j", Queue: "q", Args: json.RawMessage(`["sealed"]`), Tags: []string{"a"},
		Extra: map[string]json.RawMessage{"cattr": json.RawMessage(`{"user":9007199254740993}`)}}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("the middleware saw (-want +got):\n%s", diff)
	}
	if !slices.Equal(args, []string{`["open"]`}) || string(job.Args) != `["sealed"]` {
		t.Errorf("the handler got %v, and the job has %s", args, job.Args)
	}
}

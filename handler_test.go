package ebb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// TestHandleKind: a handler for a kind known by name gets the job as it came, and its
// options count.
func TestHandleKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := NewClient(memstore.New(memstore.Options{}))
		p := NewProcess(client, discarding(Config{Middleware: []Middleware{
			func(ctx context.Context, e *Envelope, next func(context.Context) error) error {
				e.Args = []byte(`["changed"]`)
				return next(ctx)
			},
		}}))
		runs := make(chan *wire.Job, 2)
		p.HandleKind("Foreign", func(ctx context.Context, job *wire.Job) error {
			runs <- job
			if job.Count < 0 {
				return errors.New("once more")
			}
			return nil
		}, Backoff(func(int, error) time.Duration { return time.Minute }))
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ref, err := client.Push(t.Context(), Envelope{Kind: "Foreign", Args: []byte(`[{"any": 1e400}]`)})
		if err != nil {
			t.Fatal(err)
		}
		first, second := <-runs, <-runs
		if first.JID != ref.JID || second.JID != ref.JID || string(first.Args) != `["changed"]` || !strings.Contains(string(first.Payload()), `[{"any":1.0e+400}]`) {
			t.Errorf("got %s with the arguments %s", first.Payload(), first.Args)
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("tried again after %v", took)
		}
		if _, err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestHandleKindPanics(t *testing.T) {
	t.Parallel()
	run := func(context.Context, *wire.Job) error { return nil }
	started := NewProcess(NewClient(memstore.New(memstore.Options{})), discarding(Config{}))
	if _, err := started.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		handle func(p *Process)
		want   string
	}{
		"no kind":     {func(p *Process) { p.HandleKind("", run) }, `ebb: HandleKind(""): the kind is empty`},
		"odd kind":    {func(p *Process) { p.HandleKind("a b", run) }, `ebb: HandleKind("a b"): kind "a b" has white space or a control character in it`},
		"no function": {func(p *Process) { p.HandleKind("K", nil) }, `ebb: HandleKind("K"): the function is nil`},
		"an option":   {func(p *Process) { p.HandleKind("K", run, Queue("q")) }, `ebb: HandleKind("K"): option Queue means nothing to Handle, give it to Define or Enqueue`},
		"twice":       {func(p *Process) { p.HandleKind("K", run); p.HandleKind("K", run) }, "ebb: two handlers for K"},
		"too late":    {func(*Process) { started.HandleKind("K", run) }, "ebb: handler for K comes after the process was started"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if diff := cmp.Diff(tt.want, fmt.Sprint(recover())); diff != "" {
					t.Errorf("panic (-want +got):\n%s", diff)
				}
			}()
			tt.handle(NewProcess(NewClient(memstore.New(memstore.Options{})), discarding(Config{})))
		})
	}
}

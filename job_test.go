package ebb

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func TestHandleDecodesForTheHandler(t *testing.T) {
	t.Parallel()
	c, _ := meddled()
	p := NewProcess(c, Config{})
	var got mail
	errMine := errors.New("mine")
	job := Define[mail]("WelcomeJob", Retry(3), Timeout(time.Minute))
	job.Handle(p, func(_ context.Context, m mail) error {
		got = m
		return errMine
	}, Timeout(time.Hour))

	h := p.handlers["WelcomeJob"]
	if h == nil {
		t.Fatal("no handler was registered")
	}
	if h.Policy.Retry != wire.RetryTimes(3) || h.Policy.Timeout != time.Hour {
		t.Errorf("policy %+v", h.Policy)
	}
	if err := h.Run(t.Context(), &wire.Job{Args: json.RawMessage(`[7,"de"]`)}); err != errMine || got != (mail{7, "de"}) {
		t.Errorf("handled %+v, verdict %v", got, err)
	}
	got = mail{}
	err := h.Run(t.Context(), &wire.Job{Args: json.RawMessage(`["7"]`)})
	if arg, ok := errors.AsType[*ArgError](err); !ok || arg.Kind != "WelcomeJob" || got != (mail{}) {
		t.Errorf("handled %+v, verdict %v", got, err)
	}
}

func TestHandleRefusesMistakes(t *testing.T) {
	t.Parallel()
	run := func(context.Context, int) error { return nil }
	job := Define[int]("K")
	for _, test := range []struct {
		name   string
		handle func(p *Process)
		want   string
	}{
		{"no function", func(p *Process) { job.Handle(p, nil) }, `ebb: Handle("K"): the function is nil`},
		{"option elsewhere", func(p *Process) { job.Handle(p, run, Queue("q")) }, "option Queue means nothing to Handle, give it to Define or Enqueue"},
		{"option wrong", func(p *Process) { job.Handle(p, run, Timeout(0)) }, "option Timeout: 0s is not positive"},
		{"twice", func(p *Process) { job.Handle(p, run); job.Handle(p, run) }, "ebb: two handlers for K"},
		{"not defined", func(p *Process) { Job[int]{}.Handle(p, run) }, "not made by Define"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, _ := meddled()
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, test.want) {
					t.Errorf("panic %q, want one about %q", text, test.want)
				}
			}()
			test.handle(NewProcess(c, Config{}))
		})
	}
}

// sink is a store that takes everything and keeps nothing.
type sink struct{ store.Store }

func (sink) Push(context.Context, store.Call, ...store.Item) ([]store.Result, error) { return nil, nil }

func BenchmarkEnqueue(b *testing.B) {
	c := NewClient(sink{})
	job := Define[mail]("WelcomeJob", Queue("mailers"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.Enqueue(b.Context(), c, mail{UserID: 9007199254740993, Locale: "de"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEnqueueMany(b *testing.B) {
	c := NewClient(sink{})
	job := Define[mail]("WelcomeJob", Queue("mailers"))
	batch := make([]mail, store.MaxBatch)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.EnqueueMany(b.Context(), c, batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	job := Define[mail]("WelcomeJob")
	args := json.RawMessage(`[9007199254740993,"de"]`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.Decode(args); err != nil {
			b.Fatal(err)
		}
	}
}

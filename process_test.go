package ebb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/store/storetest"
)

type digit struct{ N int }

var numberJob = Define[digit]("Number")

func discarding(c Config) Config {
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

func TestConfigTellsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	client := NewClient(memstore.New(memstore.Options{}))
	config := Config{
		Queues: []string{"default", "default", "a b"}, Weights: map[string]int{"default": 0, "other": 2}, Concurrency: -1,
		Groups: []Group{{}, {Queues: []string{"x"}, Concurrency: -2}},
		Stop:   StopConfig{Grace: -time.Second},
		Lease:  LeaseConfig{TTL: time.Second, Beat: time.Second, CutOff: 7},
		Dead:   DeadConfig{Max: -1, Age: -1},
		Poison: 11, Platform: PlatformConfig{Protect: "moon", Spot: "moon"},
	}
	want := []string{
		"Config.Concurrency: -1 is negative",
		"Config.Dead.Age: -1ns is negative",
		"Config.Dead.Max: -1 is negative",
		"Config.Groups[0].Queues: there is none",
		"Config.Groups[1].Concurrency: -2 is negative",
		"Config.Lease.CutOff: 7 is neither KeepRunning nor EndJobs",
		"Config.Lease.TTL: 1s is less than four times the beat of 1s",
		`Config.Platform.Protect: "moon" is not "ecs"`,
		`Config.Platform.Spot: "moon" is no cloud`,
		"Config.Poison: 11 is more than the 10 crashes that a job remembers",
		`Config.Queues[1]: default is there twice`,
		`Config.Queues[2]: queue "a b" has white space or a control character in it`,
		"Config.Stop.Grace: -1s is negative",
		`Config.Weights["default"]: 0 is not positive`,
		`Config.Weights["other"]: no such queue in Queues`,
	}
	for name, err := range map[string]error{
		"Run":   NewProcess(client, discarding(config)).Run(t.Context()),
		"Start": NewProcess(client, discarding(config)).Start(t.Context()),
	} {
		if err == nil {
			t.Fatalf("%s returned nil", name)
		}
		if diff := cmp.Diff("ebb: "+strings.Join(want, "\nebb: "), err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	err := NewProcess(client, discarding(Config{Stop: StopConfig{Grace: 5 * time.Second, Timeout: 8 * time.Second}})).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Config.Stop") {
		t.Errorf("a timeout above the grace: %v", err)
	}
}

func TestConfigPlans(t *testing.T) {
	t.Parallel()
	own := func(queues ...store.Share) store.Group {
		return store.Group{Name: "default", Strict: true, Concurrency: 10, Queues: queues}
	}
	for name, tt := range map[string]struct {
		config Config
		want   []store.Group
	}{
		"zero":            {Config{}, []store.Group{own(store.Share{Queue: "default"})}},
		"only queues":     {Config{Queues: []string{"b", "a"}}, []store.Group{own(store.Share{Queue: "b"}, store.Share{Queue: "a"})}},
		"only groups":     {Config{Groups: []Group{{Queues: []string{"x"}}}}, []store.Group{{Name: "x", Strict: true, Concurrency: 10, Queues: []store.Share{{Queue: "x"}}}}},
		"a name":          {Config{Groups: []Group{{Name: "n", Queues: []string{"x"}, Concurrency: 2}}}, []store.Group{{Name: "n", Strict: true, Concurrency: 2, Queues: []store.Share{{Queue: "x"}}}}},
		"weights":         {Config{Queues: []string{"a", "b"}, Weights: map[string]int{"a": 3}}, []store.Group{{Name: "default", Concurrency: 10, Queues: []store.Share{{Queue: "a", Weight: 3}, {Queue: "b"}}}}},
		"both":            {Config{Concurrency: 3, Groups: []Group{{Queues: []string{"x"}}}}, []store.Group{{Name: "default", Strict: true, Concurrency: 3, Queues: []store.Share{{Queue: "default"}}}, {Name: "x", Strict: true, Concurrency: 10, Queues: []store.Share{{Queue: "x"}}}}},
		"only one number": {Config{Concurrency: 1}, []store.Group{{Name: "default", Strict: true, Concurrency: 1, Queues: []store.Share{{Queue: "default"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tt.config.check(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.config.plans()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaseDefaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ given, want LeaseConfig }{
		"zero":        {LeaseConfig{}, LeaseConfig{TTL: 12 * time.Second, Beat: 750 * time.Millisecond, Poll: 5 * time.Second}},
		"a short TTL": {LeaseConfig{TTL: time.Second}, LeaseConfig{TTL: time.Second, Beat: 125 * time.Millisecond, Poll: 5 * time.Second}},
		"a slow beat": {LeaseConfig{Beat: 5 * time.Second}, LeaseConfig{TTL: 20 * time.Second, Beat: 5 * time.Second, Poll: 5 * time.Second}},
	} {
		if diff := cmp.Diff(tt.want, (&Config{Lease: tt.given}).lease()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestProcessInAnyOrder(t *testing.T) {
	t.Parallel()
	client := NewClient(memstore.New(memstore.Options{}))
	t.Run("drained before it was started", func(t *testing.T) {
		t.Parallel()
		p := NewProcess(client, discarding(Config{}))
		for range 2 {
			if _, err := p.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		<-p.Done()
		if err := p.Run(t.Context()); err != nil {
			t.Errorf("Run returned %v", err)
		}
		p.Quiet()
		p.Resume()
	})
	t.Run("quiet before it was started", func(t *testing.T) {
		t.Parallel()
		client := NewClient(memstore.New(memstore.Options{}))
		p := NewProcess(client, discarding(Config{}))
		ran := make(chan struct{})
		numberJob.Handle(p, func(context.Context, digit) error { close(ran); return nil })
		p.Quiet()
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := numberJob.Enqueue(t.Context(), client, digit{1}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ran:
			t.Error("a quiet process ran a job")
		case <-time.After(50 * time.Millisecond):
		}
		p.Resume()
		<-ran
		for range 2 {
			if _, err := p.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("started twice", func(t *testing.T) {
		t.Parallel()
		p := NewProcess(client, discarding(Config{}))
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(ctx); !errors.Is(err, errStarted) {
			t.Errorf("the second Start returned %v", err)
		}
		cancel()
		<-p.Done()
		if err := p.Run(t.Context()); !errors.Is(err, errStarted) {
			t.Errorf("Run after the end returned %v", err)
		}
	})
	t.Run("a handler twice, a handler late", func(t *testing.T) {
		t.Parallel()
		p := NewProcess(client, discarding(Config{}))
		handle := func() (panicked any) {
			defer func() { panicked = recover() }()
			numberJob.Handle(p, func(context.Context, digit) error { return nil })
			return nil
		}
		if v := handle(); v != nil {
			t.Fatal(v)
		}
		if v := handle(); v != "ebb: two handlers for Number" {
			t.Errorf("the second handler: %v", v)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := handle(); v != "ebb: handler for Number comes after the process was started" {
			t.Errorf("a late handler: %v", v)
		}
		if _, err := p.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a store that refuses", func(t *testing.T) {
		t.Parallel()
		flaky := storetest.NewFlaky(memstore.New(memstore.Options{}))
		flaky.Fail("Beat", storetest.Before, store.ErrReadOnly, 1)
		p := NewProcess(NewClient(flaky), discarding(Config{}))
		if err := p.Start(t.Context()); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Start returned %v", err)
		}
		<-p.Done()
	})
}

// Everything here waits for signals that are sent to this very process.
func TestRunOwnsTheSignals(t *testing.T) {
	var log bytes.Buffer
	client := NewClient(memstore.New(memstore.Options{}))
	p := NewProcess(client, Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Stop: StopConfig{Grace: 10 * time.Second}, Socket: t.TempDir()})
	begun, stopping, sent := make(chan struct{}), make(chan struct{}), make(chan struct{})
	numberJob.Handle(p, func(ctx context.Context, _ digit) error {
		close(begun)
		soft, _ := Stopping(ctx)
		<-soft
		close(stopping)
		<-sent // a TERM that comes after Run has returned is the test's own end
		return nil
	})
	if _, err := numberJob.Enqueue(t.Context(), client, digit{1}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	<-begun
	self := syscall.Getpid()
	for _, s := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGTERM, syscall.SIGTERM} {
		if err := syscall.Kill(self, s); err != nil {
			t.Fatal(err)
		}
	}
	<-stopping
	close(sent)
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	<-p.Done()
	for _, want := range []string{"process running", "process draining", "process left", "cause=SIGTERM"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, &log)
		}
	}
}

func TestDrainTakesADeadlineForTheHourOfTheKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := NewClient(memstore.New(memstore.Options{}))
		p := NewProcess(client, discarding(Config{Stop: StopConfig{Grace: time.Hour}}))
		var kill atomic.Int64
		numberJob.Handle(p, func(ctx context.Context, _ digit) error {
			<-ctx.Done()
			_, at := Stopping(ctx)
			kill.Store(int64(time.Until(at)))
			return ctx.Err()
		})
		if _, err := numberJob.Enqueue(t.Context(), client, digit{1}); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		asked := time.Now()
		report, err := p.Drain(ctx)
		if err != nil || len(report.Jobs) != 1 || report.Jobs[0].Fate != "handed back" {
			t.Errorf("report %+v, %v", report, err)
		}
		if took := time.Since(asked); took != 18*time.Second { // 20 s less a reserve of 2
			t.Errorf("took %v", took)
		}
		if left := time.Duration(kill.Load()); left != 2*time.Second {
			t.Errorf("the job was told that %v are left", left)
		}
	})
}

func TestOutsideAHandler(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	if stopping, kill := Stopping(ctx); stopping != nil || !kill.IsZero() {
		t.Error("Stopping told of a stop")
	}
	if err := Checkpoint(ctx, 1); !errors.Is(err, ErrNoJob) {
		t.Errorf("Checkpoint returned %v", err)
	}
	if err := CheckpointNow(ctx, 1); !errors.Is(err, ErrNoJob) {
		t.Errorf("CheckpointNow returned %v", err)
	}
	if v, resumed, err := Resume[int](ctx); v != 0 || resumed || err != nil {
		t.Errorf("Resume returned %v, %v, %v", v, resumed, err)
	}
	Progress(ctx, 1, 2, "")
	if Logger(ctx) != slog.Default() {
		t.Error("Logger is not the default")
	}
	if info := Info(ctx); info.JID != "" {
		t.Errorf("Info is %+v", info)
	}
}

func TestInsideAHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type position struct{ Page, Row int }
		client := NewClient(memstore.New(memstore.Options{}))
		p := NewProcess(client, discarding(Config{}))
		var runs atomic.Int64
		numberJob.Handle(p, func(ctx context.Context, _ digit) error {
			at, resumed, err := Resume[position](ctx)
			info := Info(ctx)
			switch runs.Add(1) {
			case 1:
				if resumed || err != nil || info.Attempt != 1 || info.Queue != "default" || info.Kind != "Number" || info.JID == "" {
					t.Errorf("first run: %v, %v, %v, %+v", at, resumed, err, info)
				}
				if err := Checkpoint(ctx, make(chan int)); err == nil {
					t.Error("a channel is no checkpoint")
				}
				return errors.Join(Checkpoint(ctx, position{1, 2}), errors.New("once"))
			case 2:
				if want := (position{1, 2}); at != want || !resumed || err != nil || info.Attempt != 2 || info.Interruptions != 0 {
					t.Errorf("second run: %v, %v, %v, %+v", at, resumed, err, info)
				}
				return errors.Join(CheckpointNow(ctx, "another shape"), errors.New("again"))
			default:
				if resumed || err == nil {
					t.Errorf("third run: %v, %v, %v", at, resumed, err)
				}
				if _, wrong := errors.AsType[*json.UnmarshalTypeError](err); !wrong {
					t.Errorf("third run: %v", err)
				}
				return nil
			}
		}, Backoff(func(int, error) time.Duration { return time.Second }))
		if _, err := numberJob.Enqueue(t.Context(), client, digit{1}); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if _, err := p.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := runs.Load(); n != 3 {
			t.Errorf("%d runs, want 3", n)
		}
	})
}

package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/crashpoint"
	_ "github.com/ebbjobs/ebb/store/redisstore"
	_ "github.com/ebbjobs/ebb/store/sqlitestore"
)

// variable carries a child's spec. Without it the test binary is the parent.
const variable = "EBB_CRASHTEST"

// spec tells a child what to be.
type spec struct {
	Role   role
	URL    string
	Dir    string // of the ledger
	Point  string // where to die; empty: nowhere
	Nth    int64  // the time of passing it
	Poison int    // as in ebb.Config
}

type role string

const (
	worker   role = "worker"
	producer role = "producer"
)

// The work.
const (
	queue = "crash"
	takes = 20 * time.Millisecond
)

// task is what a job is told to do before it is done.
type task struct {
	// First is what its first run ends with: nothing, "fail", "yield" or "snooze".
	First string
}

var work = ebb.Define[task]("CrashTask", ebb.Queue(queue), ebb.Retry(25),
	ebb.Backoff(func(int, error) time.Duration { return 50 * time.Millisecond }))

func TestMain(m *testing.M) {
	v, isChild := os.LookupEnv(variable)
	if !isChild {
		os.Exit(m.Run())
	}
	var s spec
	if err := json.Unmarshal([]byte(v), &s); err != nil {
		panic(err)
	}
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, s.Role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (s spec) run() error {
	switch s.Role {
	case stopped:
		return s.runStopped()
	case mixed:
		return s.runMixed()
	}
	pages, err := openPages(s.Dir)
	if err != nil {
		return err
	}
	var passed atomic.Int64
	crashpoint.Hook = func(point string) {
		if point == s.Point && passed.Add(1) == s.Nth {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				self.Kill()
			}
			select {}
		}
	}
	// The parent ends a child by closing its input, and so does the parent's own end.
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	client, err := ebb.Open(ctx, s.URL)
	if err != nil {
		return err
	}
	defer client.Close()
	if s.Role == producer {
		return produce(ctx, client, pages)
	}
	p := ebb.NewProcess(client, s.config())
	work.Handle(p, func(ctx context.Context, t task) error { return do(ctx, pages, t) })
	return p.Run(ctx)
}

// config is that of a worker which is to be missed soon.
func (s spec) config() ebb.Config {
	return ebb.Config{
		Queues: []string{queue},
		Stop:   ebb.StopConfig{Grace: 20 * time.Second},
		Lease:  ebb.LeaseConfig{TTL: leaseTTL, Beat: leaseTTL / 5, Poll: 500 * time.Millisecond},
		Socket: ebb.NoSocket,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Poison: s.Poison,
	}
}

// leaseTTL is short, so that the test is, and long enough for a busy machine.
const leaseTTL = 1500 * time.Millisecond

func do(ctx context.Context, l *pages, t task) error {
	info := ebb.Info(ctx)
	l.write(begun, info.JID)
	stopping, _ := ebb.Stopping(ctx)
	select {
	case <-time.After(takes):
	case <-stopping:
		l.write(again, info.JID)
		return ebb.ErrYield
	}
	// The first run that gets here leaves a mark, with which the next one begins.
	if _, marked, err := ebb.Resume[bool](ctx); err != nil {
		return err
	} else if t.First != "" && !marked {
		if err := ebb.CheckpointNow(ctx, true); err != nil {
			return err
		}
		l.write(again, info.JID)
		switch t.First {
		case "fail":
			return errors.New("first run")
		case "snooze":
			return ebb.Snooze(50 * time.Millisecond)
		default:
			return ebb.ErrYield
		}
	}
	l.write(ended, info.JID)
	return nil
}

// produce pushes jobs until ctx ends, with breaks in which the workers run idle.
func produce(ctx context.Context, client *ebb.Client, l *pages) error {
	firsts := []string{"fail", "yield", "snooze"}
	for n := 0; ctx.Err() == nil; n++ {
		var t task
		if n%20 < len(firsts) {
			t.First = firsts[n%20]
		}
		jid := fmt.Sprintf("%d.%05d", os.Getpid(), n)
		opts := []ebb.Option{ebb.JID(jid)}
		if n%7 == 0 {
			opts = append(opts, ebb.In(rand.N(300*time.Millisecond)))
		}
		l.write(asked, jid)
		if _, err := work.Enqueue(context.WithoutCancel(ctx), client, t, opts...); err != nil {
			return err
		}
		l.write(accepted, jid)
		if n%25 == 24 {
			select {
			case <-time.After(rand.N(120 * time.Millisecond)):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

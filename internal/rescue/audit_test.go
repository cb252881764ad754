package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// strange is a store in which somebody holds jobs whom nobody knows, until an audit;
// the later ones fail.
type strange struct {
	store.Keeper
	looks []time.Time
	given time.Duration
}

func (s *strange) Audit(_ context.Context, by store.Identity, d time.Duration) ([]store.Identity, error) {
	s.looks, s.given = append(s.looks, time.Now()), d
	switch len(s.looks) {
	case 1:
		return []store.Identity{"dead:1:x"}, nil
	case 2:
		return nil, fmt.Errorf("gone: %w", store.ErrUnreachable)
	}
	return nil, errors.New("NOPERM")
}

func TestAuditor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, log, began := &strange{}, new(bytes.Buffer), time.Now()
		a := &Auditor{Keeper: s, Log: slog.New(slog.NewTextHandler(log, nil)), By: "by:1:x", TTL: ttl}
		done := make(chan struct{})
		go func() { defer close(done); a.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		cancel()
		<-done
		if first := s.looks[0].Sub(began); first < ttl {
			t.Errorf("the first look was after %v, before all who live had time for a beat", first)
		}
		if len(s.looks) < 5 || len(s.looks) > 7 {
			t.Errorf("%d looks in five minutes", len(s.looks))
		}
		if s.given <= ttl {
			t.Errorf("who is not known has %v to beat, not more than a lease of %v", s.given, ttl)
		}
		for _, once := range []string{"dead:1:x", "NOPERM"} {
			if n := strings.Count(log.String(), once); n != 1 {
				t.Errorf("%s is told %d times:\n%s", once, n, log)
			}
		}
		if strings.Contains(log.String(), "gone") {
			t.Errorf("that the store is away is told by others:\n%s", log)
		}
	})
}

// relabelled is a store whose lost processes were found by an audit.
type relabelled struct{ *memstore.Store }

func (r relabelled) Orphans(ctx context.Context, max int, dead ...store.Identity) ([]store.Lost, error) {
	lost, err := r.Store.Orphans(ctx, max, dead...)
	for i := range lost {
		lost[i].Cause = store.Unclaimed
	}
	return lost, err
}

// Nobody knows how the holder ended, so it is no crash; and as with any lease that
// ended one who is in doubt of his own leaves it alone.
func TestRescueOfTheUnclaimed(t *testing.T) {
	t.Parallel()
	for name, steady := range map[string]bool{"steady": true, "in doubt": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New(memstore.Options{})
				hold(t, s, "dead:1:x", "running", `{"class":"K","args":[],"jid":"1"}`)
				ctx, cancel := context.WithTimeout(t.Context(), ttl+3*time.Second)
				defer cancel()
				l := &Loop{Keeper: relabelled{s}, Log: slog.New(slog.DiscardHandler), By: "by:1:x", Steady: func() bool { return steady }, Note: func(time.Time, error) {}}
				l.Run(ctx)
				back := ready(t, s)
				if !steady {
					if len(back) > 0 {
						t.Errorf("in doubt %v was taken", back)
					}
					return
				}
				if len(back) != 1 {
					t.Fatalf("%d jobs are back, want 1", len(back))
				}
				job, err := wire.Parse([]byte(back[0]))
				if err != nil {
					t.Fatal(err)
				}
				for i := range job.History.Events {
					job.History.Events[i].At = time.Time{}
				}
				want := wire.History{Interruptions: 1, Events: []wire.Event{{What: "rescued", Cause: "nobody held it", By: "by:1:x", Note: "dead:1:x"}}}
				if diff := cmp.Diff(want, job.History); diff != "" {
					t.Errorf("history (-want +got):\n%s", diff)
				}
			})
		})
	}
}

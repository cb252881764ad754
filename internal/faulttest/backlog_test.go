package faulttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
)

// bulky is a job that takes room, and fails the first time if it is told to.
var bulky = ebb.Define[part]("Bulky", ebb.Backoff(func(int, error) time.Duration { return 10 * time.Millisecond }))

// A server that jobs have filled to the last byte is emptied by the fleet: those that
// wait, those that fail and are tried again, those that are due.
func TestAFullRedisIsDrained(t *testing.T) {
	t.Parallel()
	s := onRedis(t, redistest.MaxMemory(8<<20))
	load := strings.Repeat("x", 2000)
	accepted := 0
	for ; ; accepted++ {
		var opts []ebb.Option
		if accepted%10 == 5 {
			opts = append(opts, ebb.In(time.Millisecond))
		}
		if _, err := bulky.Enqueue(t.Context(), s.client, part{Load: load, Fails: accepted%10 == 0}, opts...); err != nil {
			if !errors.Is(err, ebb.ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	var runs tally
	for range 2 {
		s.worker(ebb.Config{Lease: ebb.LeaseConfig{TTL: 12 * time.Second}}, func(p *ebb.Process) {
			bulky.Handle(p, func(ctx context.Context, a part) error {
				if runs.note(ebb.Info(ctx).JID); a.Fails && ebb.Info(ctx).Attempt == 1 {
					return errors.New("the first time")
				}
				return nil
			})
		})
	}
	s.rest()
	again := (accepted + 9) / 10
	t.Attr("ledger", fmt.Sprintf("%d accepted until it was full, 0 lost, %d runs, of which %d were asked for by a failure", accepted, runs.all(), again))
	if b := s.stats().Books[0]; runs.all() != accepted+again || b.Done != int64(accepted) {
		t.Errorf("%d runs of %d jobs, %d of which fail the first time; %+v", runs.all(), accepted, again, b)
	}
}

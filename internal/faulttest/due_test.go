package faulttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
)

// onTime is how late a due job may start.
const onTime = 100 * time.Millisecond

// due takes the moment at which it should start, in µs since the epoch.
var due = ebb.Define[int64]("Due")

// clockwork is a fleet that waits for jobs that are due, and how late it was.
type clockwork struct {
	*site
	mu   sync.Mutex
	late []time.Duration
}

func (s *site) clockwork() *clockwork {
	c := &clockwork{site: s}
	for range 2 {
		s.worker(ebb.Config{Lease: ebb.LeaseConfig{TTL: 12 * time.Second}}, func(p *ebb.Process) {
			due.Handle(p, func(_ context.Context, micros int64) error {
				late := time.Since(time.UnixMicro(micros))
				c.mu.Lock()
				defer c.mu.Unlock()
				c.late = append(c.late, late)
				return nil
			})
		})
	}
	return c
}

// perRound jobs are due one after the other, between two looks of a promoter
// wherever these fall. One of them may be late, and most rounds may have more: the
// machine has other things to do. A fleet that is late by itself is so in all.
const (
	perRound = 10
	rounds   = 10
	apart    = 87 * time.Millisecond
)

// judge tells how late the jobs were that schedule puts in.
func (c *clockwork) judge(schedule func()) {
	c.Helper()
	for round := range rounds {
		schedule()
		c.await("jobs", func() bool { return len(c.all()) == perRound })
		c.rest()
		late := c.all()
		slices.Sort(late)
		c.Logf("round %d: %v late", round+1, late)
		if late[0] < -time.Millisecond {
			c.Fatalf("%v too early", -late[0])
		}
		if late[perRound-2] <= onTime {
			return
		}
		c.forget()
	}
	c.Error("too late in every round")
}

func (c *clockwork) all() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.late)
}

func (c *clockwork) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = nil
}

// No other test of this package runs beside these: they are about a fleet that has
// nothing else to do.

func TestDueJobsStartOnTime(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			c := sites[kind](t).clockwork()
			c.judge(func() {
				at := time.Now().Add(300 * time.Millisecond).Truncate(time.Microsecond)
				for range perRound {
					_, err := due.Enqueue(t.Context(), c.client, at.UnixMicro(), ebb.At(at))
					c.must(err)
					at = at.Add(apart)
				}
			})
		})
	}
}

func TestDueJobsOfRubyStartOnTime(t *testing.T) {
	c := onRedis(t).clockwork()
	script := fmt.Sprintf(`
first = Time.now + 0.3
%d.times do |i|
  at = first + i * %g
  Sidekiq::Client.push('class' => 'Due', 'args' => [(at.to_r * 1_000_000).to_i], 'at' => at.to_f)
end
`, perRound, apart.Seconds())
	c.judge(func() {
		ruby := exec.CommandContext(t.Context(), "ruby", "-rsidekiq", "-e", script)
		ruby.Env = append(os.Environ(), "REDIS_URL="+c.url)
		if out, err := ruby.CombinedOutput(); err != nil {
			t.Fatalf("ruby -rsidekiq: %v\n%s\nhint: apt-get install ruby-sidekiq", err, out)
		}
	})
}

func TestAThousandAtOnce(t *testing.T) {
	t.Parallel()
	number := ebb.Define[int]("Number")
	onEach(t, func(s *site) {
		var seen tally
		for range 2 {
			s.worker(ebb.Config{}, func(p *ebb.Process) {
				number.Handle(p, func(ctx context.Context, n int) error {
					seen.note(strconv.Itoa(n))
					return nil
				})
			})
		}
		args, want := make([]int, 1000), map[string]int{}
		for i := range args {
			args[i], want[strconv.Itoa(i)] = i, 1
		}
		refs, err := number.EnqueueMany(s.Context(), s.client, args)
		s.must(err)
		for i, ref := range refs {
			if ref.JID == "" {
				s.Errorf("number %d was not enqueued", i)
			}
		}
		s.rest()
		for _, odd := range seen.odd(want) {
			s.Error(odd)
		}
	})
}

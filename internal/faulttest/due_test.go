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
		s.worker(ebb.Config{}, func(p *ebb.Process) {
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

// judge waits for n jobs and tells how late they were. One may be late, since the
// machine has more to do.
func (c *clockwork) judge(n int) {
	c.Helper()
	c.await(fmt.Sprint(n, " jobs"), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.late) == n
	})
	c.rest()
	slices.Sort(c.late)
	if c.late[0] < -time.Millisecond {
		c.Errorf("%v too early", -c.late[0])
	}
	if c.late[n-2] > onTime {
		c.Errorf("too late: %v", c.late)
	}
	c.Logf("%d jobs, the worst %v late, the next %v", n, c.late[n-1].Round(time.Microsecond), c.late[n-2].Round(time.Microsecond))
}

// These have the machine for themselves as far as this package goes: a fleet that
// has nothing to do is what they are about.

func TestDueJobsStartOnTime(t *testing.T) {
	const n = 12
	for _, name := range kinds {
		t.Run(name, func(t *testing.T) {
			c := sites[name](t).clockwork()
			first := time.Now().Add(300 * time.Millisecond)
			for i := range n {
				// Between two looks of a promoter, wherever these fall.
				at := first.Add(time.Duration(i) * 87 * time.Millisecond).Truncate(time.Microsecond)
				_, err := due.Enqueue(t.Context(), c.client, at.UnixMicro(), ebb.At(at))
				c.must(err)
			}
			c.judge(n)
		})
	}
}

func TestDueJobsOfRubyStartOnTime(t *testing.T) {
	const n = 12
	c := onRedis(t).clockwork()
	const script = `
first = Time.now + 0.3
%d.times do |i|
  at = first + i * 0.087
  Sidekiq::Client.push('class' => 'Due', 'args' => [(at.to_r * 1_000_000).to_i], 'at' => at.to_f)
end
`
	ruby := exec.CommandContext(t.Context(), "ruby", "-rsidekiq", "-e", fmt.Sprintf(script, n))
	ruby.Env = append(os.Environ(), "REDIS_URL="+c.url)
	if out, err := ruby.CombinedOutput(); err != nil {
		t.Fatalf("ruby -rsidekiq: %v\n%s\nhint: apt-get install ruby-sidekiq", err, out)
	}
	c.judge(n)
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

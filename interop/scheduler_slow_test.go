//go:build slow

package interop

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

const killings = 8

// Sidekiq's scheduler takes a job along when it is killed between its two calls.
// Without ebb some are lost; with it Ruby has none in its hands.
func TestKilledSchedulersLoseNothingBesideEbb(t *testing.T) {
	t.Parallel()
	t.Run("without ebb", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		const each = 4000
		lost := 0
		for round := range killings {
			schedule(server, strconv.Itoa(round), each, time.Now().Add(-time.Minute), 0)
			ruby := poller(t, server, 50*time.Millisecond, 0)
			ruby.Await("some promoted jobs", func() bool { return promotedBy(ruby) > 200 })
			kill(t, ruby)
			left := number(t, server, "LLEN", "queue:due") + number(t, server, "ZCARD", "schedule")
			lost += each - left
			server.Do("DEL", "queue:due", "schedule")
		}
		measured(t, "%d KILLs of Ruby's scheduler without ebb: %d jobs lost", killings, lost)
		if lost == 0 {
			t.Error("Sidekiq loses nothing: what ebb does against that is not needed")
		}
	})
	t.Run("with ebb", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		alive(t, server)
		const each = 10000
		promoted, total := 0, 0
		for round := range killings {
			ruby := poller(t, server, 20*time.Millisecond, 0)
			schedule(server, strconv.Itoa(round), each, time.Now().Add(3*time.Second), 0)
			moment := total + rand.IntN(each)
			ruby.Await("some due jobs", func() bool { return number(t, server, "LLEN", "queue:due") > moment })
			kill(t, ruby)
			total += each
			promoted += promotedBy(ruby)
		}
		awaitQueued(t, server, total)
		measured(t, "%d KILLs of Ruby's scheduler beside ebb, while backlogs of %d became due: 0 jobs lost, Ruby promoted %d", killings, each, promoted)
	})
}

// An ebb process that begins where Ruby works off a backlog ends that at once.
func TestEbbTakesABacklogFromRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	ruby := poller(t, server, 50*time.Millisecond, 0)
	const n = 20_000
	schedule(server, "j", n, time.Now().Add(-time.Hour), 0)
	ruby.Await("some promoted jobs", func() bool { return promotedBy(ruby) > 200 })
	before := promotedBy(ruby)
	alive(t, server)
	awaitQueued(t, server, n)
	after := promotedBy(ruby) - before
	measured(t, "Ruby promoted %d of %d jobs before ebb began, and %d after", before, n, after)
	if after > n/10 {
		t.Error("that is too many")
	}
}

// What ebb has reserved and does not live to promote, Ruby promotes some seconds later.
func TestRubyTakesOverFromEbb(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	ruby := poller(t, server, 100*time.Millisecond, 0)
	s, err := redisstore.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 100
	due := time.Now().Add(2 * time.Second)
	schedule(server, "j", n, due, 0)
	ruby.Await("reservations", func() bool {
		if _, _, err := s.Promote(t.Context(), store.Promotion{By: store.NewIdentity()}); err != nil {
			t.Fatal(err)
		}
		return server.Do("ZCARD", "ebb:due:schedule") == strconv.Itoa(n)
	})
	awaitQueued(t, server, n)
	measured(t, "Ruby promoted %d of %d jobs, the last %v after it was due", promotedBy(ruby), n, time.Since(due))
	if promotedBy(ruby) != n || time.Since(due) < 5*time.Second {
		t.Error("they were not reserved")
	}
}

func number(t *testing.T, server *redistest.Server, command ...string) int {
	t.Helper()
	n, err := strconv.Atoi(server.Do(command...))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

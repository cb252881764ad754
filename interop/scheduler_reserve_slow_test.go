//go:build slow

package interop

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	_ "github.com/ebbjobs/ebb/store/redisstore"
)

// With an ebb process alive Ruby finds nothing to promote, also where it looks twenty
// times a second and by a clock that is a second ahead.
func TestRubyHasNothingToPromote(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	alive(t, server)
	ruby := poller(t, server, 50*time.Millisecond, time.Second)
	const spread, backlog = 500, 5000
	first := time.Now().Add(5 * time.Second) // when Ruby has been noticed
	schedule(server, "spread", spread, first, 4*time.Millisecond)
	schedule(server, "backlog", backlog, first.Add(time.Second), 0)
	awaitQueued(t, server, spread+backlog)
	n := promotedBy(ruby)
	measured(t, "Ruby promoted %d of %d jobs", n, spread+backlog)
	if n > (spread+backlog)/100 { // a machine that stands still for seconds lets it
		t.Errorf("that is too many")
	}
}

// pollerProgram makes a Sidekiq worker of which only the scheduler has something to do.
// It notes each job that it promotes: client middleware runs again for these. It does
// not wait for its first look, and its clock may be wrong.
const pollerProgram = `
class NotePromoted
  def call(_, job, _, _)
    File.open(ENV["LEDGER"], "a") { |f| f.syswrite("promoted #{job["jid"]}\n") }
    yield
  end
end
Sidekiq.configure_server { |c| c.client_middleware { |chain| chain.add NotePromoted } }
Sidekiq.options[:poll_interval_average] = %g
Sidekiq::Scheduled::Poller.prepend(Module.new { def initial_wait; end })
Sidekiq::Scheduled::Enq.prepend(Module.new {
  def zpopbyscore(conn, keys: nil, argv: nil) = super(conn, keys: keys, argv: [(Float(argv[0]) + %g).to_s])
})
`

// poller starts a Sidekiq worker that looks for due jobs about that often, by a clock
// that is so far ahead.
func poller(t testing.TB, server *redistest.Server, every, ahead time.Duration) *sidekiqtest.Worker {
	t.Helper()
	program := fmt.Sprintf(pollerProgram, every.Seconds(), ahead.Seconds())
	return sidekiqtest.StartWith(t, server, program, "-q", "nothing")
}

// promotedBy counts what pollers have promoted.
func promotedBy(workers ...*sidekiqtest.Worker) (n int) {
	for _, w := range workers {
		n += strings.Count(w.Ledger(), "promoted ")
	}
	return n
}

// alive starts an ebb process, which has nothing to do but to promote.
func alive(t testing.TB, server *redistest.Server) {
	t.Helper()
	client, err := ebb.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	p := ebb.NewProcess(client, ebb.Config{Logger: slog.New(slog.DiscardHandler)})
	ebb.Define[int]("Idle").Handle(p, func(context.Context, int) error { return nil })
	if err := p.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := p.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// schedule puts n jobs into the scheduled set, due one after the other from a moment
// on. Their names begin with word.
func schedule(server *redistest.Server, word string, n int, first time.Time, apart time.Duration) {
	for from := 0; from < n; from += 1000 {
		command := []string{"ZADD", "schedule"}
		for i := from; i < min(from+1000, n); i++ {
			at := first.Add(time.Duration(i) * apart)
			command = append(command, fmt.Sprintf("%.6f", float64(at.UnixMicro())/1e6),
				fmt.Sprintf(`{"class":"Due","args":[%d],"queue":"due","jid":"%s-%d","retry":true,"created_at":%d.5}`, i, word, i, first.Unix()))
		}
		server.Do(command...)
	}
}

// awaitQueued waits until so many jobs are in their queue.
func awaitQueued(t testing.TB, server *redistest.Server, n int) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); server.Do("LLEN", "queue:due") != fmt.Sprint(n); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s of %d jobs were promoted, %s are scheduled", server.Do("LLEN", "queue:due"), n, server.Do("ZCARD", "schedule"))
		}
	}
}

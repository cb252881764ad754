package interop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/sidekiqtest"
	"github.com/ebbjobs/ebb/wire"
)

// soakProgram is the Ruby worker's part: a job takes a few milliseconds and then says
// that it was done.
const soakProgram = `
Sidekiq.logger.level = Logger::WARN
class SoakJob
  include Sidekiq::Worker
  def perform(n)
    sleep(n % 7 / 200.0)
    File.open(ENV["LEDGER"], "a") { |f| f.syswrite("#{jid}\n") }
  end
end
`

func init() { children["soak"] = soakChild }

// soakChild is the Go worker's part.
func soakChild() {
	ledger, err := os.OpenFile(os.Getenv("LEDGER"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = soakRun(ledger)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func soakRun(ledger *os.File) error {
	client, err := ebb.Open(context.Background(), os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer client.Close()
	process := ebb.NewProcess(client, ebb.Config{
		Lease:  ebb.LeaseConfig{TTL: 2 * time.Second, Beat: 200 * time.Millisecond},
		Poison: -1, // the kills are nobody's fault
		Socket: ebb.NoSocket,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	process.HandleKind("SoakJob", func(ctx context.Context, job *wire.Job) error {
		var n int
		if _, err := fmt.Sscanf(string(job.Args), "[%d]", &n); err != nil {
			return err
		}
		select {
		case <-time.After(time.Duration(n%7) * 5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		_, err := ledger.WriteString(job.JID + "\n")
		return err
	})
	return process.Run(context.Background())
}

// soak is one Ruby and one Go worker on a queue that both languages push to.
type soak struct {
	*pair
	ruby   *sidekiqtest.Worker
	ledger string // of the Go workers
	kills  int
}

// work runs Go workers, one after the other, each of which is killed after a while, as
// long as killing lasts: the next one rescues what it held, once it has lived for a
// lease itself. The last one runs until ctx ends, and is told to stop then.
func (s *soak) work(ctx, killing context.Context, life func() time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "EBB_INTEROP_CHILD=soak", "REDIS_URL="+s.server.URL(), "LEDGER="+s.ledger, "GORACE=atexit_sleep_ms=0", "EBB_GRACE=30s")
		cmd.Stderr = s.log
		if err := cmd.Start(); err != nil {
			return err
		}
		end := time.NewTimer(life())
		select {
		case <-end.C:
			s.kills++
			cmd.Process.Kill()
			cmd.Wait()
			continue
		case <-killing.Done():
			<-ctx.Done()
		}
		end.Stop()
		cmd.Process.Signal(os.Interrupt)
		err = cmd.Wait()
	}
	return err
}

// push puts n jobs there, every other one from Ruby, in so many parts over so long.
func (s *soak) push(n, parts int, over time.Duration) (jids []string) {
	s.Helper()
	pause := time.NewTicker(over / time.Duration(parts))
	defer pause.Stop()
	each := n / parts / 2
	for range parts {
		for i := range each {
			ref, err := s.client.Push(s.Context(), ebb.Envelope{Kind: "SoakJob", Args: fmt.Appendf(nil, "[%d]", i)})
			s.must(err)
			jids = append(jids, ref.JID)
		}
		jids = append(jids, rubyInto[[]string](s, s.server, fmt.Sprintf(`%d.times.map { |i| SoakJob.perform_async(i) }`, each))...)
		<-pause.C
	}
	return jids
}

// runs counts the runs of each job, in both languages.
func (s *soak) runs() (byRuby int, byJID map[string]int) {
	s.Helper()
	lines, err := os.ReadFile(s.ledger)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
	byJID = map[string]int{}
	for line := range strings.Lines(string(lines)) {
		byJID[strings.TrimSpace(line)]++
	}
	for line := range strings.Lines(s.ruby.Ledger()) {
		byJID[strings.TrimSpace(line)]++
		byRuby++
	}
	return byRuby, byJID
}

// soaks pushes n jobs within about that time, while Go workers are killed, and says what
// became of them. None may be lost.
func soaks(t *testing.T, n int, over time.Duration) {
	s := &soak{pair: newPair(t), ledger: filepath.Join(t.TempDir(), "ledger")}
	rubyEval(t, s.server, `class SoakJob; include Sidekiq::Worker; end`)
	s.ruby = sidekiqtest.StartWith(t, s.server, soakProgram)
	ctx, stop := context.WithCancel(t.Context())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	killing, spare := context.WithCancel(ctx)
	var working sync.WaitGroup
	var workErr error
	random := rand.New(rand.NewPCG(seed, 0))
	life := func() time.Duration {
		return 300*time.Millisecond + time.Duration(random.Int64N(int64(min(over/3, 4*time.Second))))
	}
	working.Go(func() { workErr = s.work(ctx, killing, life) })
	defer working.Wait()
	defer stop()
	defer spare()

	began := time.Now()
	jids := s.push(n, 20, over)
	spare()
	s.await("the run of every job", func() bool {
		_, runs := s.runs()
		missing := slices.DeleteFunc(slices.Clone(jids), func(jid string) bool { return runs[jid] > 0 })
		if time.Since(began) > over+45*time.Second {
			t.Fatalf("%d jobs have not run, such as %s, which is in %+v", len(missing), missing[0], s.entries(missing[0]))
		}
		return len(missing) == 0
	})
	took := time.Since(began)
	stop()
	working.Wait()
	s.must(workErr)
	byRuby, runs := s.runs()
	total := 0
	for _, times := range runs {
		total += times
	}
	stats, err := s.client.Store().Stats(t.Context())
	s.must(err)
	measured(t, "%d jobs in %v, %d runs by Ruby and %d by Go, which was killed %d times: %d rescued, %d lost, %d doubles",
		len(jids), took.Round(10*time.Millisecond), byRuby, total-byRuby, s.kills, stats.Books[0].Rescued, len(jids)-len(runs), total-len(jids))
	if len(runs) != len(jids) || len(jids) != n/40*40 {
		t.Errorf("%d jobs were pushed, and %d were run", len(jids), len(runs))
	}
	if byRuby == 0 || byRuby == total || s.kills == 0 {
		t.Errorf("%d of %d runs were Ruby's, with %d kills", byRuby, total, s.kills)
	}
	left := rubyInto[string](t, s.server, `s = Sidekiq::Stats.new; "#{s.enqueued} #{s.retry_size} #{s.dead_size} #{s.scheduled_size}"`)
	if left != "0 0 0 0" {
		t.Errorf("there are left in the queue, and to retry, dead and scheduled: %s", left)
	}
}

func TestSoak(t *testing.T) {
	t.Parallel()
	soaks(t, 600, 4*time.Second)
}

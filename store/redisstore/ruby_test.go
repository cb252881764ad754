package redisstore_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// field reads one line of INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// ruby runs a program with Sidekiq on the server, and returns what it prints.
func ruby(t *testing.T, server *redistest.Server, program string) string {
	t.Helper()
	path, err := exec.LookPath("ruby")
	if err != nil {
		t.Fatalf("%v\nhint: apt-get install ruby-sidekiq", err)
	}
	head := `
		require "sidekiq"
		require "sidekiq/api"
		Sidekiq.configure_client { |c| c.redis = { url: ENV["REDIS_URL"] } }
		Sidekiq.logger.level = Logger::FATAL
		class HardJob
			include Sidekiq::Worker
			sidekiq_options queue: "critical", retry: 3
			def perform(*) end
		end
	`
	cmd := exec.CommandContext(t.Context(), path, "-W0", "-e", head+program)
	cmd.Env = append(os.Environ(), "REDIS_URL="+server.URL())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ruby: %v\n%s\nhint: apt-get install ruby-sidekiq", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestRubyPushesAndWeFetch(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "critical")
	jid := ruby(t, server, `print HardJob.perform_async(9007199254740993, "ä", {"k" => [nil, true, 1.5]})`)
	bytes := server.Do("LRANGE", "queue:critical", "0", "-1")
	jobs := b.fetch(1)
	if got := string(jobs[0].Payload); got != bytes {
		t.Errorf("fetched %s\nRuby wrote %s", got, bytes)
	}
	job, err := wire.Parse(jobs[0].Payload)
	b.must(err)
	if job.JID != jid || job.Kind != "HardJob" || string(job.Args) != `[9007199254740993,"ä",{"k":[null,true,1.5]}]` {
		t.Errorf("read as %+v", job)
	}
	b.must(b.Ack(t.Context(), b.call(store.LaneVerdict), store.Done{Token: jobs[0].Token, Failed: true}))
	b.beat()
	if got := ruby(t, server, `s = Sidekiq::Stats.new; print [s.processed, s.failed, Sidekiq::Stats::History.new(1).processed.values].inspect`); got != "[1, 1, [1]]" {
		t.Errorf("Ruby counts %s", got)
	}
	if st, err := b.Stats(t.Context()); err != nil || len(st.Books) != 1 || !st.Books[0].Shared || st.Books[0].Custody() != 0 {
		t.Errorf("books of a queue that Ruby pushes to: %+v, %v", st.Books, err)
	}
}

// A job that somebody has taken is missing from the books, unless Ruby runs jobs here,
// which counts what it ran and not from which queue.
func TestRubyTakesOurs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "critical", "default")
	b.push("critical", "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb")
	b.push("default", "cccccccccccccccccccccccc")
	b.must(b.Ack(t.Context(), b.call(store.LaneVerdict), store.Done{Token: b.fetch(1)[0].Token}))
	b.beat()
	server.Do("RPOP", "queue:critical")
	books := func() store.Books {
		st, err := b.Stats(t.Context())
		b.must(err)
		if other := st.Books[1]; other.Queue != "default" || other.Shared || other.Arrivals() != 0 {
			t.Errorf("books of a queue that nobody has touched: %+v", other)
		}
		return st.Books[0]
	}
	if got := books(); got.Shared || got.Arrivals() != 1 {
		t.Errorf("a job is gone, and the books say %+v", got)
	}
	server.Do("INCRBY", "stat:processed", "1") // as Ruby does with each heartbeat
	if got := books(); !got.Shared {
		t.Errorf("Ruby has run it, and the books say %+v", got)
	}
}

func TestRubySchedulesAndWePromote(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "critical")
	ruby(t, server, `HardJob.perform_at(Time.now - 1 + 1.05, 1); HardJob.perform_in(3600, 2)`)
	eventually(t, "promotion", func() bool {
		n, _, err := b.Promote(t.Context(), store.Promotion{By: b.id})
		b.must(err)
		return n == 1
	})
	job, err := wire.Parse(b.fetch(1)[0].Payload)
	b.must(err)
	if job.EnqueuedAt.IsZero() || time.Since(job.EnqueuedAt).Abs() > time.Minute {
		t.Errorf("enqueued at %v", job.EnqueuedAt)
	}
	if n := b.in(store.Query{Place: store.Scheduled, Queue: "critical"}); n != 1 {
		t.Errorf("%d scheduled", n)
	}
}

// What ebb writes is what Ruby's pages show.
func TestRubySeesUs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "critical", "default")
	ctx := t.Context()
	b.push("critical", "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccc", "dddddddddddddddddddddddd")
	_, err := b.Schedule(ctx, b.call(store.LanePush), store.Item{
		Queue: "default", Delay: time.Hour, Payload: []byte(`{"class":"T","args":[],"queue":"default","jid":"eeeeeeeeeeeeeeeeeeeeeeee"}`),
	})
	b.must(err)
	jobs := b.fetch(3)
	b.must(b.Retry(ctx, b.call(store.LaneVerdict), store.Later{Token: jobs[0].Token, Payload: jobs[0].Payload, Delay: time.Hour}))
	b.must(b.Bury(ctx, b.call(store.LaneVerdict), store.Later{Token: jobs[1].Token, Payload: jobs[1].Payload}))
	p := b.presence()
	p.RSS, p.Labels, p.Concurrency = 30<<20, []string{"blue"}, 7
	p.Busy = []store.Run{{Slot: "8c0", Token: jobs[2].Token, JID: "c", Kind: "T", Queue: "critical", Payload: jobs[2].Payload, Since: time.Now()}}
	_, err = b.Beat(ctx, p, time.Minute)
	b.must(err)
	got := ruby(t, server, `
		s = Sidekiq::Stats.new
		p1 = Sidekiq::ProcessSet.new.first
		busy = Sidekiq::Workers.new.map { |pid, tid, work| [pid, tid, work["queue"], Sidekiq.load_json(Sidekiq.dump_json(work["payload"]))["jid"]] }
		print JSON.generate(
			queues: Sidekiq::Queue.all.map { |q| [q.name, q.size, q.map(&:jid)] },
			scheduled: Sidekiq::ScheduledSet.new.map { |j| [j.jid, j.queue, (j.at - Time.now).round(-2)] },
			retries: Sidekiq::RetrySet.new.map(&:jid), dead: Sidekiq::DeadSet.new.map(&:jid),
			process: [p1.identity, p1["hostname"], p1["pid"], p1["tag"], p1["concurrency"], p1["queues"], p1["labels"], p1["busy"], p1["rss"], p1.stopping?, Time.at(p1["started_at"]).year > 2000],
			busy: busy, enqueued: s.enqueued, workers: s.workers_size, leader: Sidekiq::ProcessSet.new.size)
	`)
	want, err := json.Marshal(map[string]any{
		"queues":    []any{[]any{"critical", 1, []string{"dddddddddddddddddddddddd"}}},
		"scheduled": []any{[]any{"eeeeeeeeeeeeeeeeeeeeeeee", "default", 3600}},
		"retries":   []string{"aaaaaaaaaaaaaaaaaaaaaaaa"}, "dead": []string{"bbbbbbbbbbbbbbbbbbbbbbbb"},
		"process":  []any{b.id, b.id.Host(), b.id.PID(), "shop", 7, []string{"critical", "default"}, []string{"blue"}, 1, 30720, false, true},
		"busy":     []any{[]any{b.id, "8c0", "critical", "cccccccccccccccccccccccc"}},
		"enqueued": 1, "workers": 1, "leader": 1,
	})
	b.must(err)
	if diff := cmp.Diff(decoded(t, string(want)), decoded(t, got)); diff != "" {
		t.Errorf("what Ruby sees (-want +got):\n%s", diff)
	}

	// Its buttons work, and after Leave nothing of ours is shown any more.
	ruby(t, server, `Sidekiq::ProcessSet.new.first.quiet!; Sidekiq::ProcessSet.new.first.stop!`)
	if diff := cmp.Diff([]store.Command{{Verb: store.Quiet}, {Verb: store.Stop}}, b.beat().Commands); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	b.must(b.Leave(ctx, b.call(store.LaneVerdict), store.Farewell{ID: b.id, Back: []store.Later{{Token: jobs[2].Token}}, Report: store.StopReport{ID: b.id}}))
	if got := ruby(t, server, `print [Sidekiq::ProcessSet.new.size, Sidekiq::Workers.new.size, Sidekiq::Queue.new("critical").first.jid].inspect`); got != `[0, 0, "dddddddddddddddddddddddd"]` {
		t.Errorf("after Leave Ruby sees %s", got)
	}
	if keys := server.Do("KEYS", string(b.id)+"*"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
}

func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// Ruby's processes are shown with what they run, and can be commanded.
func TestWeSeeRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	const id = "web-1:4711:89e48fefd429"
	server.Do("SADD", "processes", id, "gone:1:0")
	server.Do("HSET", id, "info", `{"hostname":"web-1","started_at":1795289589.1751423,"pid":4711,"tag":"shop","concurrency":2,"queues":["critical","low"],"labels":["l"],"identity":"`+id+`"}`,
		"busy", "1", "beat", "1795289589.1791804", "rtt_us", "147", "quiet", "true", "rss", "30412")
	server.Do("HSET", id+":workers", "8c0", `{"queue":"critical","payload":"{\"class\":\"HardJob\",\"args\":[],\"jid\":\"abc\"}","run_at":1795289641}`)
	processes, err := b.Processes(t.Context())
	b.must(err)
	if len(processes) != 2 {
		t.Fatalf("%d processes: %+v", len(processes), processes)
	}
	got := processes[0]
	if got.ID != id {
		got = processes[1]
	}
	want := store.Process{Lang: "ruby", Beat: time.UnixMicro(1795289589179181).UTC(), Holds: 1, Presence: store.Presence{
		ID: id, Host: "web-1", PID: 4711, Tag: "shop", Labels: []string{"l"}, Started: time.UnixMicro(1795289589175142).UTC(), Concurrency: 2, State: "quiet", RSS: 30412 << 10,
		Groups: []store.Group{{Name: "default", Concurrency: 2, Queues: []store.Share{{Queue: "critical"}, {Queue: "low"}}}},
		Busy: []store.Run{{Slot: "8c0", JID: "abc", Kind: "HardJob", Queue: "critical", Payload: []byte(`{"class":"HardJob","args":[],"jid":"abc"}`),
			Since: time.Unix(1795289641, 0).UTC()}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.must(b.Command(t.Context(), id, store.Command{Verb: store.Stop}))
	if got := server.Do("RPOP", id+"-signals"); got != "TERM" {
		t.Errorf("signal %q", got)
	}
	if err := b.Command(t.Context(), id, store.Command{Verb: store.Resume}); err == nil {
		t.Error("Ruby knows no resume")
	}
}

// Ruby's own worker runs what ebb pushed and what ebb promoted.
func TestRubyRunsOurs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "other")
	now := time.Now()
	for _, jid := range []string{"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"} {
		n := wire.New{Kind: "HardJob", JID: jid, Queue: "critical", Args: json.RawMessage(`[1]`), CreatedAt: now}
		_, err := b.Schedule(t.Context(), b.call(store.LanePush), store.Item{Queue: "critical", Payload: n.Append(nil)})
		b.must(err)
	}
	moved := 0
	eventually(t, "promotion", func() bool {
		n, _, err := b.Promote(t.Context(), store.Promotion{By: b.id})
		b.must(err)
		moved += n
		return moved == 2
	})
	got := ruby(t, server, `
		jobs = []
		while (queue, payload = Sidekiq.redis { |r| r.brpop("queue:critical", 1) })
			job = Sidekiq::JobRecord.new(payload, "critical")
			jobs << [job.klass, job.jid, job.args, job.latency < 60, job.enqueued_at.year > 2000]
		end
		print JSON.generate(jobs)
	`)
	if want := `[["HardJob","aaaaaaaaaaaaaaaaaaaaaaaa",[1],true,true],["HardJob","bbbbbbbbbbbbbbbbbbbbbbbb",[1],true,true]]`; got != want {
		t.Errorf("Ruby ran %s", got)
	}
}

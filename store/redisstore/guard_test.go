package redisstore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

// Looks that leave nothing in doubt, looks after a gap, and looks that wait for longer
// than any test.
var (
	always  = store.RubyWatch{Gap: time.Hour, Stale: time.Hour, Keep: time.Hour}
	gap     = store.RubyWatch{Gap: -1, Stale: time.Hour, Keep: time.Hour}
	stale   = store.RubyWatch{Gap: -1, Stale: -time.Millisecond, Keep: time.Hour}
	patient = store.RubyWatch{Gap: time.Hour, Silence: time.Hour, Stale: time.Hour, Keep: time.Hour}
)

const rubyID = store.Identity("vm:19110:8a278493efb1")

// rubyInfos are what 6.4.1, 7.3.10 and 8.1.7 write of themselves.
var rubyInfos = map[string]string{
	"6.4.1":  `{"hostname":"vm","started_at":1795289589.1751423,"pid":19110,"tag":"ebbtest","concurrency":2,"queues":["critical","default","low"],"labels":["lab1"],"identity":"vm:19110:8a278493efb1"}`,
	"7.3.10": `{"hostname":"vm","started_at":1795289589.1751423,"pid":19110,"tag":"ebbtest","concurrency":2,"queues":["critical","default","low"],"weights":[{"critical":2,"default":1,"low":0}],"labels":["lab1"],"identity":"vm:19110:8a278493efb1","version":"7.3.10","embedded":true}`,
	"8.1.7":  `{"hostname":"vm","started_at":1795289757.616411,"pid":19110,"tag":"ebbtest","capsules":{"default":{"concurrency":2,"mode":"weighted","weights":{"critical":2,"default":1,"low":0}}},"queues":["critical","default","low"],"weights":[{"critical":2,"default":1,"low":0}],"labels":["lab1"],"identity":"vm:19110:8a278493efb1","version":"8.1.7","embedded":false}`,
}

// sidekiq plays one process of Ruby's.
type sidekiq struct {
	*boot
	server *redistest.Server
	id     store.Identity
	busy   string // the key
	beats  int
}

func playSidekiq(t *testing.T, server *redistest.Server, version string) *sidekiq {
	t.Helper()
	s := &sidekiq{boot: start(t, server.URL()), server: server, id: rubyID, busy: string(rubyID) + ":work"}
	if version == "6.4.1" {
		s.busy = string(rubyID) + ":workers"
	}
	server.Do("HSET", string(s.id), "info", rubyInfos[version])
	return s
}

// payload is a job of Ruby's.
func payload(jid string) string {
	return fmt.Sprintf(`{"retry":true,"queue":"default","class":"SlowJob","args":[%q],"jid":%q,"created_at":1795289641.55}`, jid, jid)
}

// beat is a heartbeat that says what runs.
func (s *sidekiq) beat(jids ...string) {
	s.t.Helper()
	runs := map[string]string{}
	for i, jid := range jids {
		runs[fmt.Sprint("8c", i)] = payload(jid)
	}
	s.beatWith(runs)
}

func (s *sidekiq) beatWith(runs map[string]string) {
	s.t.Helper()
	s.server.Do("DEL", s.busy)
	for slot, payload := range runs {
		text, err := json.Marshal(map[string]any{"queue": "default", "payload": payload, "run_at": 1795289641})
		s.must(err)
		s.server.Do("HSET", s.busy, slot, string(text))
	}
	s.beats++
	s.server.Do("SADD", "processes", string(s.id))
	s.server.Do("HSET", string(s.id), "busy", fmt.Sprint(len(runs)), "beat", fmt.Sprintf("1795289641.%d", s.beats), "quiet", "false", "rss", "30412")
	s.server.Do("EXPIRE", string(s.id), "60")
}

// expire is what the server does a minute after the last beat.
func (s *sidekiq) expire() { s.server.Do("DEL", s.busy, string(s.id)) }

// look looks, and returns what became of this process; its state is empty if nobody has
// to do with it.
func (s *sidekiq) look(w store.RubyWatch) store.RubyProcess {
	s.t.Helper()
	found, err := s.WatchRuby(s.t.Context(), w)
	s.must(err)
	for _, p := range found {
		if p.Lost.ID == s.id {
			return p
		}
	}
	return store.RubyProcess{}
}

func (s *sidekiq) sees(w store.RubyWatch, want store.RubyState, jids ...string) store.RubyProcess {
	s.t.Helper()
	p := s.look(w)
	var got []string
	for _, j := range p.Lost.Jobs {
		got = append(got, between(string(j.Payload), `"jid":"`, `"`))
	}
	if p.State != want || strings.Join(got, " ") != strings.Join(jids, " ") {
		s.t.Fatalf("seen %q with %q, want %q with %q", p.State, got, want, jids)
	}
	return p
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// back puts all jobs of a lost process back as they are.
func (s *sidekiq) back(p store.RubyProcess) int {
	s.t.Helper()
	moved, _, err := s.PutBack(s.t.Context(), salvage(p))
	s.must(err)
	return moved
}

func salvage(p store.RubyProcess) store.Salvage {
	g := store.Salvage{ID: p.Lost.ID, Cause: p.Lost.Cause, Report: &store.StopReport{ID: p.Lost.ID, Reason: "vanished"}}
	for _, j := range p.Lost.Jobs {
		g.Jobs = append(g.Jobs, store.Rescued{Token: j.Token, Was: j.Payload})
	}
	return g
}

func (s *sidekiq) waiting() []string {
	s.t.Helper()
	var jids []string
	for e, err := range s.Jobs(s.t.Context(), store.Query{Place: store.Ready, Queue: "default"}) {
		s.must(err)
		jids = append(jids, between(string(e.Payload), `"jid":"`, `"`))
	}
	return jids
}

func TestRubyProcessVanishes(t *testing.T) {
	t.Parallel()
	for version := range rubyInfos {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := playSidekiq(t, redistest.Start(t), version)
			s.server.Do("RPUSH", "queue:default", payload("next"))
			s.beat("a", "b")
			if p := s.sees(always, store.RubyAlive); !p.New || p.Busy != 2 {
				t.Errorf("at first it is %+v", p)
			}
			if p := s.sees(always, store.RubyAlive); p.New {
				t.Error("it is new twice")
			}
			s.expire()
			s.sees(patient, store.RubySilent, "a", "b")
			p := s.sees(always, store.RubyLost, "a", "b")
			if p.Lost.Cause != store.Lapsed || p.Lost.Last.Tag != "ebbtest" || p.Lost.Last.PID != 19110 || p.Lost.Beat.IsZero() || p.Lost.Now.Sub(p.Lost.Beat).Abs() > time.Minute {
				t.Errorf("of the lost is known %+v", p.Lost)
			}
			if n := s.back(p); n != 2 {
				t.Errorf("%d put back", n)
			}
			if d := cmp.Diff([]string{"a", "b", "next"}, s.waiting()); d != "" {
				t.Errorf("they run next, in their order (-want +got):\n%s", d)
			}
			if got := s.server.Do("SISMEMBER", "processes", string(s.id)) + s.server.Do("SISMEMBER", "queues", "default"); got != "01" {
				t.Errorf("in processes, in queues: %s", got)
			}
			stops := 0
			for r, err := range s.Stops(t.Context()) {
				s.must(err)
				if stops++; r.ID != s.id || r.Reason != "vanished" {
					t.Errorf("its stop: %+v", r)
				}
			}
			if n := s.back(p); n != 0 || stops != 1 {
				t.Errorf("a second time %d put back; %d stop reports", n, stops)
			}
			s.sees(always, "")
		})
	}
}

// What a look has seen at the last beat counts, and nothing older.
func TestMirrorFollowsBeats(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "8.1.7")
	s.beat("a", "b")
	s.look(always)
	s.beat("b")
	s.look(always)
	s.beatWith(map[string]string{"8c0": payload("b"), "8c7": payload("c")})
	s.look(always)
	s.server.Do("DEL", s.busy) // which expires a moment before the record
	s.look(always)
	s.expire()
	s.sees(always, store.RubyLost, "b", "c")
}

func TestRubyProcessSaysGoodbye(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := playSidekiq(t, server, "6.4.1")
	s.beat("a")
	s.look(always)
	server.Do("SREM", "processes", string(s.id))
	server.Do("UNLINK", s.busy)
	s.sees(always, store.RubyLeft)
	s.sees(always, "")

	// A last beat comes late, with a job that its process has given back and that still
	// does not end.
	s.beat("a")
	s.look(always)
	s.expire()
	p := s.sees(always, store.RubyLost)
	if s.back(p) != 0 || len(s.waiting()) != 0 {
		t.Errorf("put back after the goodbye: %q", s.waiting())
	}
}

// Only who looked when a record went knows whether there was a goodbye: Ruby's pages take
// the dead out of processes, too.
func TestRubyProcessEndsInDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		first  store.RubyWatch // of the first look after the record has gone
		pruned bool
		want   store.RubyState
	}{
		{"seen", always, false, store.RubyLost},
		{"seen, and pruned at once", always, true, store.RubyLost},
		{"seen late, and still listed", gap, false, store.RubyLost},
		{"seen late, and listed no more", gap, true, store.RubyDoubtful},
		{"seen so late that its jobs may have ended", stale, false, store.RubyDoubtful},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := playSidekiq(t, redistest.Start(t), "7.3.10")
			s.beat("a")
			s.look(always)
			s.expire()
			if c.pruned {
				s.server.Do("SREM", "processes", string(s.id))
			}
			s.look(c.first)
			s.server.Do("SREM", "processes", string(s.id)) // no matter by now
			p := s.look(always)
			if p.State != c.want || len(p.Lost.Jobs) != 1 {
				t.Fatalf("seen as %+v", p)
			}
			if c.want == store.RubyLost {
				return
			}
			if p := s.look(always); !p.Told {
				t.Error("told again and again")
			}
			doubtless := always
			doubtless.Dead = []store.Identity{s.id}
			if n := s.back(s.sees(doubtless, store.RubyLost, "a")); n != 1 {
				t.Errorf("with a witness %d put back", n)
			}
		})
	}
}

// After an outage of the server all records may be gone, and all processes live.
func TestAnOutageIsNoEnd(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "8.1.7")
	s.beat("a")
	s.look(always)
	s.server.Do("HSET", "ebb:mirror:"+string(s.id), "since", "1") // long ago, before the outage
	s.expire()
	waits := gap
	waits.Silence = time.Minute
	s.sees(waits, store.RubySilent, "a")
	s.beat("a")
	if p := s.sees(always, store.RubyAlive); p.Back || p.New || p.Busy != 1 {
		t.Errorf("it beats again: %+v", p)
	}
	s.expire()
	s.sees(always, store.RubyLost, "a")
}

// A process that was frozen and comes back runs what was put back: once is enough.
func TestLostProcessComesBack(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "6.4.1")
	s.beat("a")
	s.look(always)
	s.expire()
	s.back(s.sees(always, store.RubyLost, "a"))
	s.beat("a", "b")
	if p := s.sees(always, store.RubyAlive); !p.Back {
		t.Error("nobody is told that it is back")
	}
	if p := s.sees(always, store.RubyAlive); p.Back {
		t.Error("it is back twice")
	}
	s.expire()
	s.sees(always, store.RubyLost, "b")
}

// Jobs in somebody's keeping are not a guard's.
func TestGuardLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]func(s *sidekiq){
		"Pro's super_fetch":                  func(s *sidekiq) { s.server.Do("SADD", "super_processes", string(s.id)) },
		"ebb's lease":                        func(s *sidekiq) { s.server.Do("ZADD", "ebb:holders", "1", string(s.id)) },
		"ebb's lease, and rescued meanwhile": func(s *sidekiq) { s.server.Do("HSET", "ebb:last:"+string(s.id), "beat", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := playSidekiq(t, redistest.Start(t), "7.3.10")
			s.beat("a")
			s.look(always) // before it has anything in keeping
			keep(s)
			s.look(always)
			s.expire()
			s.sees(always, "")
		})
	}
}

func TestPutBackOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := playSidekiq(t, server, "8.1.7")
	s.beat(numbered(20)...)
	s.look(always)
	s.expire()
	p := s.look(always)
	guards := [4]*redisstore.Store{}
	for i := range guards {
		guards[i] = open(t, server.URL())
	}
	var moved, lasts atomic.Int64
	var all sync.WaitGroup
	for _, g := range guards {
		for range 4 {
			all.Go(func() {
				n, last, err := g.PutBack(t.Context(), salvage(p))
				if err != nil {
					t.Error(err)
				}
				moved.Add(int64(n))
				if last {
					lasts.Add(1)
				}
			})
		}
	}
	all.Wait()
	if n := len(s.waiting()); moved.Load() != 20 || n != 20 || lasts.Load() != 1 {
		t.Errorf("%d moved, %d wait, want 20; %d calls were the last", moved.Load(), n, lasts.Load())
	}
}

func TestPutBackNotOfTheLiving(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "6.4.1")
	s.beat("a", "b", "c")
	s.look(always)
	s.expire()
	p := s.sees(always, store.RubyLost, "a", "b", "c")
	s.beat("a", "b", "c") // since
	if n := s.back(p); n != 0 || len(s.waiting()) != 0 {
		t.Errorf("%d put back from one that lives", n)
	}

	// It has given one back itself, and then dies.
	if _, _, err := s.PutBack(t.Context(), store.Salvage{ID: s.id}, p.Lost.Jobs[1].Token); err != nil {
		t.Fatal(err)
	}
	s.look(always)
	s.expire()
	s.sees(always, store.RubyLost, "a", "c")
}

// A witness need not wait until the record is gone, and what it says now counts.
func TestPutBackByWitness(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "8.1.7")
	s.beat("a")
	witness := always
	witness.Dead = []store.Identity{s.id}
	p := s.sees(witness, store.RubyLost, "a")
	if n := s.back(p); n != 1 || p.Lost.Cause != store.Witnessed {
		t.Errorf("%d put back, cause %q", n, p.Lost.Cause)
	}
	if got := s.server.Do("EXISTS", string(s.id), s.busy) + s.server.Do("SISMEMBER", "processes", string(s.id)); got != "00" {
		t.Errorf("the dead is still shown: %s", got)
	}
}

// Poison waits, or goes to the dead set. A set must be told the queue, and keeps two
// jobs of the same bytes apart.
func TestPutBackIntoSets(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := playSidekiq(t, server, "7.3.10")
	bare := `{"class":"SlowJob","args":[]}`
	s.beatWith(map[string]string{"1": bare, "2": bare, "3": payload("c")})
	s.look(always)
	s.expire()
	g := salvage(s.look(always))
	for i := range g.Jobs {
		g.Jobs[i].To, g.Jobs[i].Delay = store.Scheduled, time.Hour
	}
	g.Jobs[2].To, g.Jobs[2].Delay = store.Dead, 0
	if n, _, err := s.PutBack(t.Context(), g); n != 3 || err != nil {
		t.Fatalf("%d moved, %v", n, err)
	}
	later := s.in(store.Query{Place: store.Scheduled, Queue: "default"})
	if dead := server.Do("ZRANGE", "dead", "0", "-1"); later != 2 || dead != payload("c") {
		t.Errorf("%d scheduled, dead %s", later, dead)
	}
	for e, err := range s.Jobs(t.Context(), store.Query{Place: store.Scheduled}) {
		s.must(err)
		if in := time.Until(e.At); in < 50*time.Minute || in > 70*time.Minute {
			t.Errorf("due in %v", in)
		}
	}
}

// What cannot be done is not done by half.
func TestPutBackIsWhole(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := playSidekiq(t, server, "6.4.1")
	s.beat("a", "b")
	s.look(always)
	s.expire()
	p := s.look(always)
	server.Do("SET", "queue:default", "no list")
	if n, _, err := s.PutBack(t.Context(), salvage(p)); err == nil {
		t.Fatalf("%d moved into a string", n)
	}
	server.Do("DEL", "queue:default")
	s.sees(always, store.RubyLost, "a", "b")
	server.Do("CONFIG", "SET", "maxmemory", "1")
	if n := s.back(p); n != 2 {
		t.Errorf("on a full server %d moved", n)
	}
}

func TestRunsOfNoJob(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "6.4.1")
	s.beat("a")
	s.server.Do("HSET", s.busy, "8c8", "no JSON", "8c9", `{"queue":"","payload":"{}"}`)
	s.look(always)
	s.expire()
	p := s.sees(always, store.RubyLost, "a")
	if len(p.Unreadable) != 2 {
		t.Fatalf("unreadable: %q", p.Unreadable)
	}
	if n, _, err := s.PutBack(t.Context(), salvage(p), p.Unreadable...); n != 1 || err != nil {
		t.Errorf("%d moved, %v", n, err)
	}
	s.sees(always, "")
}

// A key that is something else than Ruby would have it hides no other process.
func TestGuardLooksAtTheOthers(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "6.4.1")
	s.beat("a")
	s.server.Do("SADD", "processes", "odd")
	s.server.Do("SET", "odd", "no hash")
	found, err := s.WatchRuby(t.Context(), always)
	if len(found) != 1 || err == nil || !strings.Contains(err.Error(), "look at odd: ") {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestGuardNotInAClusterLayout(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Start(t, redistest.Cluster()).URL()+"?layout=cluster")
	if _, err := s.WatchRuby(t.Context(), always); err == nil {
		t.Error("looked")
	}
	if _, _, err := s.PutBack(t.Context(), store.Salvage{ID: rubyID}); err == nil {
		t.Error("put back")
	}
}

// A mirror is forgotten in the end.
func TestMirrorExpires(t *testing.T) {
	t.Parallel()
	s := playSidekiq(t, redistest.Start(t), "6.4.1")
	s.beat("a")
	s.look(always)
	key := "ebb:mirror:" + string(s.id)
	if ttl := s.server.Do("TTL", key); ttl != "3600" && ttl != "3599" && len(ttl) != 4 {
		t.Errorf("kept for %s s", ttl)
	}
	s.expire()
	s.server.Do("DEL", key)
	s.sees(always, "")
	if n := s.server.Do("ZCARD", "ebb:mirrors"); n != "0" {
		t.Errorf("%s mirrors are listed", n)
	}
}

// What a look costs: 100 processes that run 10 jobs of 1 KiB each, between two beats.
func BenchmarkWatchRuby(b *testing.B) {
	server := redistest.Start(b)
	s, err := redisstore.Open(b.Context(), server.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for n := range 100 {
		id := fmt.Sprintf("vm:%d:8a278493efb1", n)
		work := []string{"HSET", id + ":work"}
		for i := range 10 {
			work = append(work, fmt.Sprint("8c", i), fmt.Sprintf(`{"queue":"default","payload":"{\"jid\":\"%d\",\"pad\":\"%s\"}","run_at":1}`, i, strings.Repeat("x", 1024)))
		}
		server.Do(work...)
		server.Do("SADD", "processes", id)
		server.Do("HSET", id, "beat", "1.5", "quiet", "false", "info", rubyInfos["8.1.7"])
	}
	for b.Loop() {
		if found, err := s.WatchRuby(b.Context(), always); err != nil || len(found) != 100 {
			b.Fatalf("%d processes, %v", len(found), err)
		}
	}
}

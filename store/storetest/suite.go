package storetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

const (
	// aliveFor is the lease of a process whose end is no part of the test.
	aliveFor = time.Minute
	// patience is for what must happen soon, on a machine that may be slow.
	patience = 15 * time.Second
	// moment is for what must not happen.
	moment = 30 * time.Millisecond
)

// suite is one test with its store.
type suite struct {
	*testing.T
	Instance
	st   store.Store // of somebody who looks, pushes and moves by hand
	me   *process    // its identity for pushes
	open func(t *testing.T) Instance
}

func newSuite(t *testing.T, open func(t *testing.T) Instance) *suite {
	s := bareSuite(t, open)
	t.Cleanup(s.check)
	return s
}

// bareSuite does not look at the books in the end.
func bareSuite(t *testing.T, open func(t *testing.T) Instance) *suite {
	s := &suite{T: t, Instance: open(t), open: open}
	s.Tick = cmp.Or(s.Tick, 50*time.Millisecond)
	s.me = s.stranger()
	s.st = s.me.Store
	return s
}

// another is the same test with a second store, which is empty.
func (s *suite) another() *suite {
	s.Helper()
	return newSuite(s.T, s.open)
}

func (s *suite) pass(d time.Duration) {
	if s.Pass != nil {
		s.Pass(d)
		return
	}
	<-time.After(d)
}

// must fails the test on an unexpected error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wantErr fails the test if err is not what was expected.
func (s *suite) wantErr(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("got error %v, want %v", err, want)
	}
}

func (s *suite) equal(got, want any) {
	s.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		s.Fatalf("(-want +got):\n%s", diff)
	}
}

// eventually polls until ok, less often as real time goes by. A store's clock that is
// moved by hand moves on meanwhile, but not so far that a long lease would end.
func (s *suite) eventually(what string, ok func() bool) {
	s.Helper()
	passed, pause := time.Duration(0), time.Millisecond
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			s.Fatalf("did not happen in %v: %s", patience, what)
		}
		switch {
		case s.Pass == nil:
			pause = min(2*pause, moment)
		case passed < aliveFor/20:
			s.Pass(s.Tick)
			passed += s.Tick
		}
		<-time.After(pause)
	}
}

var boots atomic.Int64

// process is one boot with a client of its own.
type process struct {
	store.Store
	s   *suite
	id  store.Identity
	seq map[int]uint64

	release string
}

// stranger is a boot that has not registered.
func (s *suite) stranger() *process {
	st := s.Open(s.T)
	s.Cleanup(func() { st.Close() })
	return s.bootOn(st)
}

// bootOn is a boot that has not registered and shares a client.
func (s *suite) bootOn(st store.Store) *process {
	boot := boots.Add(1)
	return &process{Store: st, s: s, seq: map[int]uint64{}, release: "r1",
		id: store.Identity(fmt.Sprintf("host:%d:%012x", 100+boot, boot))}
}

// process is a boot that has registered.
func (s *suite) process() *process {
	s.Helper()
	p := s.stranger()
	p.beat(aliveFor)
	return p
}

func (p *process) presence(known ...store.Token) store.Presence {
	return store.Presence{
		ID: p.id, Host: p.id.Host(), PID: p.id.PID(), Tag: "tag", Release: p.release, Version: "1", Labels: []string{"x"},
		Started: time.Unix(1_700_000_000, 0).UTC(), Concurrency: 10, State: "running", Grace: 30 * time.Second,
		Groups: []store.Group{{Name: "all", Concurrency: 10, Queues: []store.Share{{Queue: "q", Weight: 2}}}},
		Known:  known,
	}
}

func (p *process) beat(ttl time.Duration, known ...store.Token) store.Orders {
	p.s.Helper()
	o, err := p.Beat(p.s.Context(), p.presence(known...), ttl)
	p.s.must(err)
	return o
}

// call is the next one of this boot on lane.
func (p *process) call(lane int) store.Call {
	p.seq[lane]++
	return store.Call{By: p.id, Lane: lane, Seq: p.seq[lane]}
}

func (p *process) verdict() store.Call { return p.call(store.LaneVerdict) }

func strict(queues ...string) store.Plan {
	plan := store.Plan{Strict: true}
	for _, q := range queues {
		plan.Queues = append(plan.Queues, store.Share{Queue: q})
	}
	return plan
}

// fetch asks once, without waiting.
func (p *process) fetch(n int, queues ...string) []store.Held {
	p.s.Helper()
	jobs, _, err := p.Fetch(p.s.Context(), p.call(store.LaneFetch), strict(queues...), n, 0)
	p.s.must(err)
	return jobs
}

// take fetches n jobs from queue, or fails.
func (p *process) take(n int, queue string) []store.Held {
	p.s.Helper()
	var jobs []store.Held
	p.s.eventually(fmt.Sprintf("fetch of %d jobs from %q", n, queue), func() bool {
		jobs = append(jobs, p.fetch(n-len(jobs), queue)...)
		return len(jobs) == n
	})
	return jobs
}

func (p *process) ack(jobs ...store.Held) {
	p.s.Helper()
	p.s.must(p.Ack(p.s.Context(), p.verdict(), dones(jobs)...))
}

// promote goes on until want jobs have moved.
func (p *process) promote(want int) {
	p.s.Helper()
	var moved int
	p.s.eventually(fmt.Sprintf("promotion of %d jobs", want), func() bool {
		n, _, err := p.Promote(p.s.Context(), store.Promotion{By: p.id})
		p.s.must(err)
		moved += n
		return moved >= want
	})
	p.s.equal(moved, want)
}

func dones(jobs []store.Held) []store.Done {
	done := make([]store.Done, len(jobs))
	for i, j := range jobs {
		done[i].Token = j.Token
	}
	return done
}

func laters(jobs []store.Held) []store.Later {
	later := make([]store.Later, len(jobs))
	for i, j := range jobs {
		later[i].Token = j.Token
	}
	return later
}

func tokens(jobs []store.Held) []store.Token {
	var ts []store.Token
	for _, j := range jobs {
		ts = append(ts, j.Token)
	}
	return ts
}

// item is a job whose payload is as a client writes it.
func item(jid, queue string) store.Item {
	return store.Item{JID: jid, Queue: queue, Kind: "Test", Payload: payload(jid, queue, 0)}
}

func items(queue string, jids ...string) []store.Item {
	var its []store.Item
	for _, jid := range jids {
		its = append(its, item(jid, queue))
	}
	return its
}

// payload is what a job with that jid and queue looks like after n changes.
func payload(jid, queue string, n int) []byte {
	quote := func(s string) []byte { b, _ := json.Marshal(s); return b }
	return fmt.Appendf(nil, `{"class":"Test","args":[%d,9007199254740993,"ä"],"retry":true,"queue":%s,"jid":%s,"created_at":1700000000.25}`, n, quote(queue), quote(jid))
}

// push pushes items as the suite's own client.
func (s *suite) push(queue string, jids ...string) {
	s.Helper()
	_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), items(queue, jids...)...)
	s.must(err)
}

func (s *suite) schedule(d time.Duration, queue string, jids ...string) {
	s.Helper()
	its := items(queue, jids...)
	for i := range its {
		its[i].Delay = d
	}
	_, err := s.st.Schedule(s.Context(), s.me.call(store.LanePush), its...)
	s.must(err)
}

// numbered is n jids that start with prefix.
func numbered(prefix string, n int) []string {
	jids := make([]string, n)
	for i := range jids {
		jids[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return jids
}

// jidOf reads the jid of a payload; one that is no JSON stands for itself.
func jidOf(payload []byte) string {
	var p struct{ JID string }
	if json.Unmarshal(payload, &p) != nil || p.JID == "" {
		return string(payload)
	}
	return p.JID
}

func jids(jobs []store.Held) []string {
	var js []string
	for _, j := range jobs {
		js = append(js, jidOf(j.Payload))
	}
	return js
}

func sorted(jids []string) []string {
	jids = slices.Clone(jids)
	slices.Sort(jids)
	return jids
}

var stamp = regexp.MustCompile(`,?"enqueued_at":[0-9.]+`)

// unstamped is payload without the time at which a store put it into its queue.
func unstamped(payload []byte) string { return string(stamp.ReplaceAll(payload, nil)) }

// entries walks q to its end.
func (s *suite) entries(q store.Query) []store.Entry {
	s.Helper()
	var es []store.Entry
	for e, err := range s.st.Jobs(s.Context(), q) {
		s.must(err)
		es = append(es, e)
	}
	return es
}

// in returns the jids in a place, in its order.
func (s *suite) in(place store.Place, queue string) []string {
	s.Helper()
	var js []string
	for _, e := range s.entries(store.Query{Place: place, Queue: queue}) {
		js = append(js, jidOf(e.Payload))
	}
	return js
}

func (s *suite) want(place store.Place, queue string, jids ...string) {
	s.Helper()
	s.equal(s.in(place, queue), jids)
}

// everywhere returns where each jid is.
func (s *suite) everywhere() map[string][]store.Place {
	s.Helper()
	where := map[string][]store.Place{}
	note := func(q store.Query) {
		for _, e := range s.entries(q) {
			jid := jidOf(e.Payload)
			where[jid] = append(where[jid], q.Place)
		}
	}
	queues, err := s.st.Queues(s.Context())
	s.must(err)
	for _, q := range queues {
		note(store.Query{Place: store.Ready, Queue: q.Name})
	}
	for _, p := range []store.Place{store.Scheduled, store.Retrying, store.Keeping, store.Dead} {
		note(store.Query{Place: p})
	}
	return where
}

// book returns the books of queue.
func (s *suite) book(queue string) store.Books {
	s.Helper()
	st, err := s.st.Stats(s.Context())
	s.must(err)
	for _, b := range st.Books {
		if b.Queue == queue {
			return b
		}
	}
	return store.Books{Queue: queue}
}

//go:build ui

package browser

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
	"github.com/ebbjobs/ebb/wire"
)

const (
	million   = 1_000_000
	queues    = 1_000
	processes = 200
	slots     = 25 // of each process, all of them busy

	needle    = "needle-in-a-haystack" // in the error of the last hundredth
	cardError = "Stripe::CardError"
	told      = 212 // retries of the error that people look for
)

// large is a store with all that a large fleet leaves there. Its retries are due in the
// year to come, so that none of them moves.
type large struct {
	testing.TB
	retries int
	redis   *redistest.Server
	store   *redisstore.Store
	begun   time.Time

	mu     sync.Mutex
	living []store.Presence
}

func newLarge(t testing.TB) *large {
	t.Helper()
	l := newSets(t, million)
	l.pour(l.fillQueues)
	l.fleet()
	l.stops()
	measured(t, "%d retries, %d queues, %d processes and %d running jobs were written in %.1f s", million, queues, processes, processes*slots, time.Since(l.begun).Seconds())
	return l
}

// newSets is a store with no more than that in its three sets.
func newSets(t testing.TB, retries int) *large {
	t.Helper()
	l := &large{TB: t, retries: retries, redis: redistest.Start(t), begun: time.Now()}
	l.pour(l.fillSets)
	st, err := redisstore.Open(t.Context(), l.redis.URL())
	l.must(err)
	t.Cleanup(func() { st.Close() })
	l.store = st
	return l
}

func (l *large) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// pour sends commands as fast as the server takes them.
func (l *large) pour(commands func(send func(args ...string))) {
	l.Helper()
	const end = "that is all"
	conn, err := net.Dial("tcp", l.redis.Addr)
	l.must(err)
	defer conn.Close()
	answered := make(chan error, 1)
	go func() {
		answers := bufio.NewScanner(conn)
		for answers.Scan() && answers.Text() != end {
			if text := answers.Text(); strings.HasPrefix(text, "-") {
				answered <- fmt.Errorf("redis: %s", text)
				return
			}
		}
		answered <- answers.Err()
	}()
	w := bufio.NewWriterSize(conn, 1<<20)
	send := func(args ...string) {
		fmt.Fprintf(w, "*%d\r\n", len(args))
		for _, arg := range args {
			fmt.Fprintf(w, "$%d\r\n%s\r\n", len(arg), arg)
		}
	}
	commands(send)
	send("PING", end)
	l.must(w.Flush())
	l.must(<-answered)
}

// retry is the payload of a job that has failed, as Sidekiq writes it.
func (l *large) retry(n int, kind, queue, args, class, message string) string {
	at := float64(l.begun.Add(-time.Hour).UnixMilli()) / 1000
	return fmt.Sprintf(`{"retry":true,"queue":%q,"class":%q,"args":%s,"jid":"%024x","created_at":%.3f,"enqueued_at":%.3f,`+
		`"error_message":%q,"error_class":%q,"failed_at":%.3f,"retry_count":%d}`, queue, kind, args, n, at, at, message, class, at, n%20)
}

// failed is the payload of the retry set's job at that rank: a few have the error that
// people look for, and the last hundredth one that is hard to find.
func (l *large) failed(i int) string {
	kind, class, message := "ReportJob", "Timeout::Error", "execution expired after 30 s"
	switch {
	case i%100 == 0 && i/100 < told:
		kind, class, message = "InvoiceJob", cardError, fmt.Sprintf("declined: order %d", 7000+i)
	case i >= l.retries/100*99:
		class, message = "RuntimeError", needle
	}
	return l.retry(i, kind, "mailers", fmt.Sprintf(`[{"order":%d}]`, i), class, message)
}

// fillSets writes the retry set in its order, and something into the other two.
func (l *large) fillSets(send func(args ...string)) {
	year := 365 * 24 * time.Hour
	due := func(i, of int) string {
		at := l.begun.Add(24*time.Hour + time.Duration(i)*(year/time.Duration(of)))
		return strconv.FormatFloat(float64(at.UnixMicro())/1e6, 'f', 6, 64)
	}
	const batch = 500
	for from := 0; from < l.retries; from += batch {
		args := make([]string, 2, 2+2*batch)
		args[0], args[1] = "ZADD", "retry"
		for i := from; i < from+batch; i++ {
			args = append(args, due(i, l.retries), l.failed(i))
		}
		send(args...)
	}
	for i := range 90 {
		send("ZADD", "schedule", due(i, 90), fmt.Sprintf(`{"retry":true,"queue":"reports","class":"DigestJob","args":[%d],"jid":"5c%022x","created_at":%.3f}`, i, i, float64(l.begun.Unix())))
	}
	for i, payload := range l.hostile() {
		send("ZADD", "dead", strconv.FormatInt(l.begun.Unix()-int64(i), 10), payload)
	}
	for i := range 60 {
		send("ZADD", "dead", strconv.FormatInt(l.begun.Unix()-int64(1000+i), 10), l.retry(1<<40+i, "ImportJob", "imports", "[]", "ArgumentError", "no such file"))
	}
}

// fillQueues writes a few jobs into each of many queues.
func (l *large) fillQueues(send func(args ...string)) {
	names := []string{"SADD", "queues"}
	for i := range queues {
		name := fmt.Sprintf("queue-%04d", i)
		names = append(names, name)
		line := []string{"LPUSH", "queue:" + name}
		for n := range 1 + i%7 {
			line = append(line, fmt.Sprintf(`{"retry":true,"queue":%q,"class":"Kind%d","args":[%d],"jid":"a0%022x","created_at":%.3f,"enqueued_at":%.3f}`,
				name, n, n, i*10+n, float64(l.begun.Unix()), float64(l.begun.Unix())))
		}
		send(line...)
	}
	send(names...)
}

// fleet registers processes, gives them jobs, and keeps them alive while the test runs.
func (l *large) fleet() {
	l.Helper()
	ctx := l.Context()
	l.living = make([]store.Presence, processes)
	for i := range l.living {
		l.living[i] = l.process(i)
		l.beat(ctx, &l.living[i])
	}
	client := store.Identity("seed:1:" + strings.Repeat("0", 12))
	for i := range processes * slots / 1000 {
		items := make([]store.Item, 1000)
		for n := range items {
			jid := fmt.Sprintf("b0%022x", i*1000+n)
			items[n] = store.Item{JID: jid, Queue: "busy", Kind: "ReportJob", Payload: fmt.Appendf(nil,
				`{"class":"ReportJob","args":[%d],"retry":true,"queue":"busy","jid":%q,"created_at":%.3f,"enqueued_at":%.3f}`, n, jid, float64(l.begun.Unix()), float64(l.begun.Unix()))}
		}
		_, err := l.store.Push(ctx, store.Call{By: client, Lane: store.LanePush, Seq: uint64(i + 1)}, items...)
		l.must(err)
	}
	for i := range l.living {
		p := &l.living[i]
		held, _, err := l.store.Fetch(ctx, store.Call{By: p.ID, Lane: store.LaneFetch, Seq: 1}, store.Plan{Queues: []store.Share{{Queue: "busy"}}}, slots, 0)
		l.must(err)
		for n, h := range held {
			job, err := wire.Parse(h.Payload)
			l.must(err)
			p.Known = append(p.Known, h.Token)
			p.Busy = append(p.Busy, store.Run{Slot: strconv.Itoa(n), Token: h.Token, JID: job.JID, Kind: job.Kind, Queue: h.Queue, Payload: h.Payload, Since: l.begun, Note: "63 %"})
		}
		l.beat(ctx, p)
	}
	var beating sync.WaitGroup
	ctx, end := context.WithCancel(ctx)
	beating.Go(func() {
		for ctx.Err() == nil {
			for i := range l.living {
				l.mu.Lock()
				l.store.Beat(ctx, l.living[i], time.Hour) // the next one comes soon
				l.mu.Unlock()
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
			}
		}
	})
	l.Cleanup(func() {
		end()
		beating.Wait()
	})
}

// turn brings a process into a state, which it tells at once.
func (l *large) turn(i int, state string) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.living[i]
	p.State, p.Turns = state, append(p.Turns, store.Turn{State: state, At: time.Now()})
	l.beat(l.Context(), p)
}

func (l *large) beat(ctx context.Context, p *store.Presence) {
	l.Helper()
	_, err := l.store.Beat(ctx, *p, time.Hour)
	l.must(err)
}

// process is one of the fleet: what it says of itself, before it has any jobs.
func (l *large) process(i int) store.Presence {
	release := "v142"
	if i%5 == 0 {
		release = "v143"
	}
	runs := store.Runs{Kind: fmt.Sprintf("Kind%d", i%10), Queue: "busy", Ended: int64(1000 + i), Failed: int64(i % 7), Took: time.Hour}
	for n := range 1000 {
		runs.Spread.Add(time.Duration(n) * 3 * time.Millisecond)
	}
	return store.Presence{
		ID: store.Identity(fmt.Sprintf("worker-%d:%d:%012x", i, 100+i, i)), Host: fmt.Sprintf("worker-%d", i), PID: 100 + i,
		Release: release, Version: "1.0", Started: l.begun.Add(-time.Hour), Concurrency: slots, State: "running", Grace: 2 * time.Minute, RSS: 400 << 20,
		Groups: []store.Group{{Name: "default", Concurrency: slots, Queues: []store.Share{{Queue: "busy"}, {Queue: "mailers", Weight: 2}}}},
		Turns:  []store.Turn{{State: "running", At: l.begun.Add(-time.Hour)}},
		Runs:   []store.Runs{runs},
	}
}

// stops are processes that have ended: some by a TERM, and one that nobody told to.
func (l *large) stops() {
	l.Helper()
	ctx := l.Context()
	for i := range 40 {
		p := l.process(processes + i)
		p.Release = "v141"
		l.beat(ctx, &p)
		report := store.StopReport{
			ID: p.ID, Release: p.Release, Reason: "SIGTERM", Began: l.begun.Add(-time.Duration(i) * time.Minute), Grace: p.Grace,
			Phases: []store.Phase{{Name: "quiet", Took: time.Second, InFlight: 12}, {Name: "draining", Took: 20 * time.Second, InFlight: 9}},
		}
		report.Ended = report.Began.Add(21 * time.Second)
		for n := range 12 {
			report.Jobs = append(report.Jobs, store.Fate{JID: fmt.Sprintf("c0%022x", i*100+n), Kind: "ReportJob", Queue: "busy", Fate: "finished"})
		}
		l.must(l.store.Leave(ctx, store.Call{By: p.ID, Lane: store.LaneVerdict, Seq: 1}, store.Farewell{ID: p.ID, Report: report}))
		l.must(l.store.Record(ctx, store.Change{ID: fmt.Sprintf("change-%d", i), By: "ada@laptop", Verb: "pause", What: fmt.Sprintf("queue-%04d", i), Began: report.Began, Ended: report.Ended}))
	}
	gone := l.process(processes + 40)
	l.beat(ctx, &gone)
	lost, err := l.store.Orphans(ctx, 1, gone.ID)
	l.must(err)
	for _, p := range lost {
		_, err := l.store.Rescue(ctx, store.Salvage{ID: p.ID, Cause: store.Witnessed, Seen: p.Seen, Report: &store.StopReport{
			ID: p.ID, Release: "v141", Reason: "vanished", By: "worker-1:101:000000000001", Cause: store.Witnessed, Began: p.Now, Heard: p.Beat, Ended: p.Now,
			Jobs: []store.Fate{{JID: strings.Repeat("d", 24), Kind: "ReportJob", Queue: "busy", Fate: "rescued"}},
		}})
		l.must(err)
	}
}

package faulttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb"
)

// errand is a job of the traffic.
type errand struct {
	First string        // what its first run ends with: nothing, "fail" or "snooze"
	Takes time.Duration // each run
}

var run = ebb.Define[errand]("Errand", ebb.Backoff(func(int, error) time.Duration { return 20 * time.Millisecond }))

// traffic is what goes on while a store is in trouble: producers that enqueue all
// the time, workers that keep up, and a ledger of all that they were told.
type traffic struct {
	*site
	crew      []*worker
	producing sync.WaitGroup
	enough    chan struct{}
	stopping  sync.Once

	mu   sync.Mutex
	jobs map[string]*story // by jid
}

// story is what is known of one job.
type story struct {
	errand   errand
	answer   answer
	answered time.Time
	err      error
	runs     []*passage
}

// answer is what its producer was told.
type answer int

const (
	accepted answer = iota + 1
	uncertain
	refused
)

// passage is one run of a job.
type passage struct {
	info         ebb.JobInfo
	began, ended time.Time // ended is zero while it runs
	cause        error     // of the end of its context
	done         bool
}

// stage is how many runs of the job the store knew to have ended by asking for
// another one.
func (p *passage) stage() int { return p.info.Attempt + p.info.Snoozes }

func (s *site) traffic() *traffic {
	f := &traffic{site: s, enough: make(chan struct{}), jobs: map[string]*story{}}
	s.Cleanup(f.stop)
	return f
}

// hire starts a worker over url. Its lease is long: nobody dies here.
func (f *traffic) hire(url string) {
	f.Helper()
	elsewhere := *f.site
	elsewhere.url = url
	w := elsewhere.worker(ebb.Config{Lease: ebb.LeaseConfig{TTL: 12 * time.Second}}, f.handle)
	f.crew = append(f.crew, w)
}

func (f *traffic) handle(p *ebb.Process) {
	run.Handle(p, func(ctx context.Context, e errand) error {
		this := f.begin(ebb.Info(ctx))
		select {
		case <-time.After(e.Takes):
		case <-ctx.Done():
		}
		return f.end(ctx, this, e)
	})
}

func (f *traffic) begin(info ebb.JobInfo) *passage {
	f.mu.Lock()
	defer f.mu.Unlock()
	this := &passage{info: info, began: time.Now()}
	j := f.story(info.JID)
	j.runs = append(j.runs, this)
	return this
}

func (f *traffic) end(ctx context.Context, this *passage, e errand) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	this.ended, this.cause = time.Now(), context.Cause(ctx)
	switch {
	case this.cause != nil:
		return this.cause
	case this.stage() == 1 && e.First == "fail":
		return errors.New("the first time")
	case this.stage() == 1 && e.First == "snooze":
		return ebb.Snooze(20 * time.Millisecond)
	}
	this.done = true
	return nil
}

// story is called with the lock.
func (f *traffic) story(jid string) *story {
	if f.jobs[jid] == nil {
		f.jobs[jid] = &story{}
	}
	return f.jobs[jid]
}

// produce starts producers over url.
func (f *traffic) produce(url string) {
	f.Helper()
	client, err := ebb.Open(f.Context(), url, ebb.WithLogger(slog.New(slog.DiscardHandler)))
	f.must(err)
	f.Cleanup(func() { client.Close() })
	for range 3 {
		name := rand.Uint32()
		f.producing.Go(func() {
			for i := 0; f.pause(rand.N(5 * time.Millisecond)); i++ {
				f.enqueue(client, fmt.Sprintf("%08x.%05d", name, i), i)
			}
		})
	}
}

// pause waits for d, and reports false once there is enough.
func (f *traffic) pause(d time.Duration) bool {
	select {
	case <-f.enough:
		return false
	case <-time.After(d):
		return true
	}
}

// enqueue puts the i-th job in, one of a mixed lot.
func (f *traffic) enqueue(client *ebb.Client, jid string, i int) {
	opts := []ebb.Option{ebb.JID(jid)}
	e := errand{Takes: rand.N(5 * time.Millisecond)}
	switch i % 16 {
	case 3:
		e.First = "fail"
	case 6:
		e.First = "snooze"
	case 9:
		opts = append(opts, ebb.In(rand.N(time.Second)))
	case 12:
		e.Takes = rand.N(300 * time.Millisecond)
	}
	_, err := run.Enqueue(f.Context(), client, e, opts...)
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.story(jid)
	j.errand, j.answered, j.err = e, time.Now(), err
	switch {
	case err == nil:
		j.answer = accepted
	case errors.Is(err, ebb.ErrUncertain):
		j.answer = uncertain
	default:
		j.answer = refused
	}
}

// stop ends the producers. A second call does nothing.
func (f *traffic) stop() {
	f.stopping.Do(func() { close(f.enough) })
	f.producing.Wait()
}

// flow waits until n more jobs have been accepted.
func (f *traffic) flow(n int) {
	f.Helper()
	before := f.count(accepted)
	f.await("traffic", func() bool { return f.count(accepted) >= before+n })
}

func (f *traffic) count(a answer) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jobs {
		if j.answer == a {
			n++
		}
	}
	return n
}

// ledger is what became of all jobs.
type ledger struct {
	accepted, refused  int
	uncertain, arrived int // arrived are those of them that ran
	done, rescued      int
	again              map[string]int // runs that nobody had asked for, by why there were
	lost               []*story
}

func (l *ledger) String() string {
	var again []string
	for _, why := range slices.Sorted(maps.Keys(l.again)) {
		again = append(again, fmt.Sprintf("%d (%s)", l.again[why], why))
	}
	return fmt.Sprintf("%d accepted, %d uncertain of which %d came, %d refused; %d done, %d lost, %d rescued, run again: %s",
		l.accepted, l.uncertain, l.arrived, l.refused, l.done, len(l.lost), l.rescued, cmp.Or(strings.Join(again, ", "), "0"))
}

// settle stops the producers, waits until all is done that the store has, and makes
// up the ledger, for everybody to see. What no fault explains fails the test: a job
// that ran although it had been refused, and a run that nobody asked for.
func (f *traffic) settle() *ledger {
	f.Helper()
	f.stop()
	f.rest()
	l := &ledger{again: map[string]int{}, rescued: int(f.rescued())}
	f.mu.Lock()
	defer f.mu.Unlock()
	for jid, j := range f.jobs {
		done := slices.ContainsFunc(j.runs, func(p *passage) bool { return p.done })
		if done {
			l.done++
		}
		switch j.answer {
		case accepted:
			l.accepted++
			if !done {
				l.lost = append(l.lost, j)
			}
		case uncertain:
			l.uncertain++
			if len(j.runs) > 0 {
				l.arrived++
			}
		case refused:
			l.refused++
			if len(j.runs) > 0 {
				f.Errorf("%s ran, and its producer had been told: %v", jid, j.err)
			}
		}
		for i, p := range j.runs {
			for _, earlier := range j.runs[:i] {
				if earlier.stage() == p.stage() {
					l.again[p.why(earlier)]++
					break
				}
			}
		}
	}
	f.Attr("ledger", l.String())
	return l
}

const (
	byRescue  = "interrupted, and the job says so"
	byLease   = "the lease was lost"
	byVerdict = "the store forgot the verdict"
	byFetch   = "the store forgot who has it"
)

// why tells what made p repeat an earlier run.
func (p *passage) why(earlier *passage) string {
	switch {
	case p.info.Interruptions > earlier.info.Interruptions:
		return byRescue
	case errors.Is(earlier.cause, ebb.ErrLeaseLost):
		return byLease
	case !earlier.ended.IsZero() && earlier.ended.Before(p.began):
		return byVerdict
	}
	return byFetch
}

// whole is what a ledger is of a store that has forgotten nothing.
func (f *traffic) whole(l *ledger) {
	f.Helper()
	for _, j := range l.lost {
		f.Errorf("accepted at %v and never done: %+v", j.answered.Format("05.000"), j.errand)
		for _, p := range j.runs {
			f.Logf("%+v", p)
		}
	}
	if len(l.again) > 0 {
		f.Errorf("run again: %v", l.again)
	}
	if l.rescued > 0 {
		f.Errorf("%d jobs of the living were rescued", l.rescued)
	}
	if l.accepted == 0 {
		f.Error("no traffic")
	}
}

package faulttest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// rivals are two processes: one is away for longer than its lease, and the other
// rescues what it held. When the first one is back, both have the jobs.
type rivals struct {
	*site
	late, other *remote
	jobs        map[string]scene // by jid
	before      store.Books      // of the queue, when all of them had begun
	outages     int              // of the store, as the late one sees it
}

const (
	queue   = "default"
	lateOwn = "own" // a queue that only the late one takes from
)

// shortLease is for processes that are to lose it, and ownLease for those who are to
// keep theirs on a busy machine.
var (
	shortLease = ebb.LeaseConfig{TTL: 2 * time.Second, Beat: 250 * time.Millisecond}
	ownLease   = ebb.LeaseConfig{TTL: lease}
)

// rivals starts the process that is going to be late, over url.
func (s *site) rivals(url string, lease ebb.LeaseConfig) *rivals {
	s.Helper()
	return &rivals{site: s, late: s.remote(post{URL: url, Queues: []string{queue, lateOwn}, Lease: lease})}
}

// begin lets the late one begin jobs of these endings. Of each there are one that
// is over while it is away, or as soon as it is back, and one that is not.
func (v *rivals) begin(endings ...ending) {
	v.Helper()
	v.jobs = map[string]scene{}
	for _, e := range endings {
		for _, c := range []cue{during, after} {
			ref, err := play.Enqueue(v.Context(), v.client, scene{Until: c, Ends: e})
			v.must(err)
			v.jobs[ref.JID] = scene{Until: c, Ends: e}
		}
	}
	v.late.hears(len(v.jobs), "begun")
	v.before = v.books(queue)
}

// watch starts the other process, if it is not there yet.
func (v *rivals) watch(lease ebb.LeaseConfig) {
	v.Helper()
	if v.other == nil {
		v.other = v.remote(post{Queues: []string{queue}, Lease: lease})
	}
}

// rescue lets the other one take all jobs and begin them.
func (v *rivals) rescue() {
	v.Helper()
	v.watch(ownLease)
	v.other.hears(len(v.jobs), "begun")
}

// back waits until the late one says that the store is back.
func (v *rivals) back() {
	v.Helper()
	v.outages++
	v.await("word of the store", func() bool { return v.late.log.count(saysBack) >= v.outages })
}

// settle lets both end all jobs, the late one first, and checks that it changes
// nothing, and is well.
func (v *rivals) settle() {
	v.Helper()
	v.await("word of the lost jobs", func() bool {
		for jid, s := range v.jobs {
			if _, told := v.late.of(jid, "told"); s.Until == after && !told {
				return false
			}
		}
		return true
	})
	v.late.give(after)
	v.late.hears(len(v.jobs), "returned")
	v.healthy(lateOwn) // what it says of another job comes after all that

	v.since("with all late verdicts in", store.Books{Fetched: int64(len(v.jobs)), Rescued: int64(len(v.jobs)), Held: int64(len(v.jobs))})
	v.other.give(during)
	v.other.give(after)
	v.rest()
	v.since("in the end", store.Books{Fetched: int64(len(v.jobs)), Rescued: int64(len(v.jobs)), Done: int64(len(v.jobs))})
	v.explained()
	v.other.stop()
	v.healthy(queue)
	v.late.stop()
}

// healthy lets a queue's only process do a job.
func (v *rivals) healthy(queue string) {
	v.Helper()
	before := v.books(queue).Done
	_, err := play.Enqueue(v.Context(), v.client, scene{}, ebb.Queue(queue))
	v.must(err)
	v.await("new job", func() bool { return v.books(queue).Done == before+1 })
}

// since checks what has happened on the queue since all jobs had begun. Of those
// that stay where they are only the number counts.
func (v *rivals) since(when string, want store.Books) {
	v.Helper()
	now, was := v.books(queue), v.before
	got := store.Books{
		Fetched: now.Fetched - was.Fetched, Done: now.Done - was.Done, Discarded: now.Discarded - was.Discarded,
		Retried: now.Retried - was.Retried, Buried: now.Buried - was.Buried, Requeued: now.Requeued - was.Requeued,
		Rescued: now.Rescued - was.Rescued, Held: now.Held,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		v.Errorf("books %s (-want +got):\n%s", when, diff)
	}
}

func (s *site) books(queue string) store.Books {
	s.Helper()
	for _, b := range s.stats().Books {
		if b.Queue == queue {
			return b
		}
	}
	return store.Books{}
}

// explained checks what was said of the two runs of each job, by whom.
func (v *rivals) explained() {
	v.Helper()
	reported := map[string]int{} // by the rescuer, of the late one
	for report, err := range v.client.Store().Stops(v.Context()) {
		v.must(err)
		for _, fate := range report.Jobs {
			if report.ID.PID() == v.late.Process.Pid && report.By.PID() == v.other.Process.Pid && fate.Fate == "rescued" {
				reported[fate.JID]++
			}
		}
	}
	for jid, s := range v.jobs {
		name := fmt.Sprintf("%s, which ended %s, %s,", jid, s.Ends, s.Until)
		if l, told := v.late.of(jid, "told"); told && l.Cause != ebb.ErrLeaseLost.Error() {
			v.Errorf("%s was told %q", name, l.Cause)
		}
		if l, said := v.late.of(jid, "saved"); said && l.Cause != ebb.ErrLeaseLost.Error() {
			v.Errorf("%s had its checkpoint answered with %q", name, l.Cause)
		}
		if l, begun := v.other.of(jid, "begun"); !begun || !l.Again {
			v.Errorf("%s began in the other process: %v, as one that was interrupted: %v", name, begun, l.Again)
		}
		if n := v.late.log.count(jid, "another process"); n != 1 {
			v.Errorf("%s is said to be another process's %d times", name, n)
		}
		if reported[jid] != 1 {
			v.Errorf("%s is %d times in the stop reports as rescued", name, reported[jid])
		}
	}
	v.late.saysOnce(1, v.outages)
}

// saysOnce checks how often it says that its lease ends, and that the store is away.
// It may have been kept from it more often, on a busy machine, and then says so.
func (r *remote) saysOnce(leases, outages int) {
	r.Helper()
	r.await("store that is back each time", func() bool { return r.log.count(saysBack) == r.log.count(saysAway) })
	more := r.log.count(saysAway) - outages
	if more < 0 {
		r.Errorf("it does not say %d times that the store is away", outages)
	}
	if n := r.log.count("lease is about to end"); n < leases || n > leases+more {
		r.Errorf("it says %d times that its lease ends, and %d times that the store is away", n, more+outages)
	}
}

// all are the endings that a job can come to.
var all = []ending{endsWell, endsSaved, endsFailed, endsBuried, endsSnoozed, endsTold}

// What a process says of jobs that were rescued while it was frozen changes nothing,
// and it goes on.
func TestLateOwnerIsRefused(t *testing.T) {
	t.Parallel()
	policies := map[string]ebb.CutOff{"keep running": ebb.KeepRunning, "end jobs": ebb.EndJobs}
	together(t, policies, func(t *testing.T, policy ebb.CutOff) {
		lease := shortLease
		lease.CutOff = policy
		v := onRedis(t, redistest.AOF()).rivals("", lease)
		v.begin(all...)
		v.late.freeze()
		v.late.give(during)
		v.rescue()
		v.late.thaw()
		v.settle()
	})
}

// company is who else is there while a process is frozen.
type company struct {
	lease     time.Duration   // of another process; 0: there is none yet
	meanwhile func(v *rivals) // until the frozen one is thawed
}

const look = 1500 * time.Millisecond // within which a rescuer looks

var companies = map[string]company{
	"alone": {0, (*rivals).lapsed},
	// It cannot know yet whether the store was away.
	"beside one that has only just come": {0, func(v *rivals) {
		v.lapsed()
		v.watch(ebb.LeaseConfig{TTL: time.Minute})
		<-time.After(look)
	}},
}

// lapsed waits until the lease of the late one has ended.
func (v *rivals) lapsed() {
	v.Helper()
	v.await("lapsed lease", func() bool { return v.late.record().Lapsed })
}

// A lease that has ended is no loss where nobody takes the jobs.
func TestFrozenProcessKeepsWhatNobodyTook(t *testing.T) {
	t.Parallel()
	together(t, companies, func(t *testing.T, other company) {
		v := onRedis(t, redistest.AOF()).rivals("", shortLease)
		v.begin(endsWell, endsSaved, endsTold)
		if other.lease > 0 {
			v.watch(ebb.LeaseConfig{TTL: other.lease})
			<-time.After(other.lease + other.lease/8) // from here on it is sure of what it sees
		}
		v.late.freeze()
		v.late.give(during)
		other.meanwhile(v)
		v.late.thaw()
		v.keeps(1)
	})
}

// keeps checks that the late one goes on with all it had, once it is back, having
// said so many times that its lease ends.
func (v *rivals) keeps(leases int) {
	v.Helper()
	n := int64(len(v.jobs))
	v.await("lease of the late one", func() bool { p := v.late.record(); return p.ID != "" && !p.Lapsed && !p.Frozen })
	v.await("end of half the jobs", func() bool { return v.books(queue).Done == v.before.Done+n/2 })
	v.healthy(lateOwn)
	v.late.give(after)
	v.rest()
	v.since("in the end", store.Books{Done: n})
	if lines := v.late.lines("told"); len(lines) > 0 {
		v.Errorf("contexts ended: %v", lines)
	}
	if i := slices.IndexFunc(v.late.lines("saved"), func(l line) bool { return l.Cause != "" }); i >= 0 {
		v.Errorf("a checkpoint was answered with %q", v.late.lines("saved")[i].Cause)
	}
	if n := v.late.log.count("another process has"); n > 0 {
		v.Errorf("it says %d times that a job is another's", n)
	}
	v.healthy(queue)
	v.late.saysOnce(leases, 0)
	v.late.stop()
}

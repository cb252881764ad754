package rescue

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// DefaultPoison is how many crashes alone prove a job to be poison, where nobody has
// said.
const DefaultPoison = 3

// memory is how long a crash counts.
const memory = 72 * time.Hour

// Pace is how fast jobs are judged. Only tests change it, before anything runs.
var Pace = struct {
	Recent time.Duration // a crash so young makes a suspect even if a wave explains it
	Wave   time.Duration // two ends so close belong to one wave
	Soon   time.Duration // a suspect that may run for so long is blamed for its process's end
	Delay  time.Duration // of a suspect after its second crash; each later one is three times as long …
	Most   time.Duration // … up to this; each is up to half as long again, by chance
}{10 * time.Minute, time.Minute, 30 * time.Second, 5 * time.Second, 400 * time.Second}

// Causes in a job's history of what a rescuer saw.
const (
	causeDeploy = "deploy" // the process had been told to stop
	causeWave   = "wave"   // it vanished with others of its release, as in a deploy that only kills
	causeCrash  = "crash"
	causeMemory = "oom"
	exitPrefix  = "exit "
)

// crashed reports whether an event tells of a process that vanished under the job.
func crashed(e wire.Event) bool {
	if e.What != "rescued" {
		return false
	}
	switch e.Cause {
	case causeCrash, causeWave, causeMemory:
		return true
	}
	return strings.HasPrefix(e.Cause, "SIG") || strings.HasPrefix(e.Cause, exitPrefix)
}

// Judge decides what becomes of the jobs of lost processes. Crashes alone make a job
// suspect, and only what happened while it was the one suspect of its process proves
// anything; its neighbours are never more than delayed. Moments are compared by the
// store's clock only.
type Judge struct {
	By     store.Identity
	Poison int                      // crashes alone that are proof; 0: DefaultPoison; negative: none ever are
	Deaths map[store.Identity]Death // what witnesses say of lost processes

	ends     []end
	releases map[store.Identity]string // of all processes whose stop report was read
	blamed   map[store.Identity]bool   // of those that are lost now
	read     bool                      // all stop reports that matter
	chance   func(int64) int64         // as rand.Int64N; nil: that
}

// end is the end of a process that did not leave by itself.
type end struct {
	id      store.Identity
	release string
	at      time.Time
	jobs    []store.Fate // that it held
	blamed  bool
}

func (e *end) held(jid string) bool {
	return slices.ContainsFunc(e.jobs, func(f store.Fate) bool { return f.JID == jid })
}

// Read learns what other processes ended when these were lost, and when their jobs
// crashed before. stops are read only if there is a crash to judge, and only as far
// back as matters. After an error the judge decides without, and buries nothing.
func (j *Judge) Read(ctx context.Context, stops func(context.Context) iter.Seq2[store.StopReport, error], lost []store.Lost) error {
	j.ends, j.releases, j.blamed, j.read = nil, map[store.Identity]string{}, map[store.Identity]bool{}, false
	defer j.add(lost)
	var since time.Time
	for _, gone := range lost {
		if jobs := parse(gone); len(jobs) > 0 && j.endOf(gone).crash {
			if first := earliest(jobs, gone.Now); since.IsZero() || first.Before(since) {
				since = first
			}
		}
	}
	if since.IsZero() {
		return nil
	}
	since = since.Add(-Pace.Recent) // for the waves that a crash was part of
	for r, err := range stops(ctx) {
		if err != nil {
			return fmt.Errorf("rescue: read stop reports: %w", err)
		}
		j.releases[r.ID] = r.Release
		if r.By == "" {
			continue // it left by itself, and dated that by its own clock
		}
		if r.Ended.Before(since) {
			break
		}
		j.ends = append(j.ends, end{id: r.ID, release: r.Release, at: r.Ended, jobs: r.Jobs, blamed: r.Blamed})
	}
	j.read = true
	return nil
}

// add adds the ends of those that are lost now.
func (j *Judge) add(lost []store.Lost) {
	var ends []end
	for _, gone := range lost {
		if gone.Cause == store.Unclaimed {
			continue
		}
		jobs := parse(gone)
		e := end{id: gone.ID, release: gone.Last.Release, at: gone.Now, blamed: j.blames(gone, jobs)}
		for _, job := range jobs {
			if job != nil {
				e.jobs = append(e.jobs, store.Fate{JID: job.JID})
			}
		}
		ends = append(ends, e)
		j.blamed[gone.ID] = e.blamed
	}
	j.ends = append(j.ends, ends...)
}

// parse reads the jobs of a lost process; one that cannot be read is nil.
func parse(gone store.Lost) []*wire.Job {
	jobs := make([]*wire.Job, len(gone.Jobs))
	for i, held := range gone.Jobs {
		if job, err := wire.Parse(held.Payload); err == nil {
			jobs[i] = job
		}
	}
	return jobs
}

// earliest is when the first of the crashes was that count, now if there was none.
func earliest(jobs []*wire.Job, now time.Time) time.Time {
	first := now
	for _, job := range jobs {
		if job == nil {
			continue
		}
		for e := range crashes(job.History, now) {
			if e.At.Before(first) {
				first = e.At
			}
		}
	}
	return first
}

// crashes are the earlier crashes of a job that count: those of three days, and since
// it was last brought back from the dead.
func crashes(h wire.History, now time.Time) iter.Seq[wire.Event] {
	events := h.Events
	for i, e := range slices.Backward(events) {
		if e.What == "buried" {
			events = events[i+1:]
			break
		}
	}
	return func(yield func(wire.Event) bool) {
		for _, e := range events {
			if crashed(e) && now.Sub(e.At) <= memory && !yield(e) {
				return
			}
		}
	}
}

// blames reports whether something that a lost process held may have brought it down,
// so that its end is no sign of a deploy: a suspect that had only just been given back
// to run. One that had run for longer is not blamed, or a few suspects, in one fleet,
// would turn every deploy into a proof against each other.
func (j *Judge) blames(gone store.Lost, jobs []*wire.Job) bool {
	if !j.endOf(gone).crash {
		return false
	}
	for _, job := range jobs {
		if job == nil || !job.History.Suspect {
			continue
		}
		n, last := 0, time.Time{}
		for e := range crashes(job.History, gone.Now) {
			n, last = n+1, e.At
		}
		if pause := delay(n); n > 0 && gone.Now.Sub(last) <= pause+pause/2+Pace.Soon {
			return true
		}
	}
	return j.Deaths[gone.ID].fatal
}

// explained reports whether the end of a process is explained without a job that it
// held: it was one of a wave in which at least one process did not hold the job, nor
// is blamed itself. A wave goes from one end of a release to the next. half says that
// there was but one that is blamed.
func (j *Judge) explained(jid string, id store.Identity, release string, at time.Time) (fully, half bool) {
	linked := []time.Time{at}
	seen := map[store.Identity]bool{id: true}
	for ; len(linked) > 0; linked = linked[1:] {
		for i := range j.ends {
			e := &j.ends[i]
			if seen[e.id] || e.release != release || e.at.Sub(linked[0]).Abs() > Pace.Wave {
				continue
			}
			if !e.held(jid) {
				half = true
				if !e.blamed {
					return true, true
				}
			}
			seen[e.id] = true
			linked = append(linked, e.at)
		}
	}
	return false, half
}

// weight is what the earlier crashes of a job come to.
type weight struct {
	all         int // that make it suspect
	unexplained int
	alone       int // that are proof
}

// weigh counts the earlier crashes of a job. What a wave explains makes nobody suspect,
// be it by half, but while it is recent: that costs a job seconds, and keeps several
// poison jobs from passing for a deploy at full speed. Where the stop report is gone
// nobody knows.
func (j *Judge) weigh(job *wire.Job, now time.Time) (w weight) {
	for e := range crashes(job.History, now) {
		id := store.Identity(e.Note)
		release, known := j.releases[id]
		fully, half := true, true
		if known && e.Cause != causeWave {
			fully, half = j.explained(job.JID, id, release, e.At)
		}
		if !half || now.Sub(e.At) <= Pace.Recent {
			w.all++
		}
		if !fully {
			w.unexplained++
		}
		if !fully && e.Alone {
			w.alone++
		}
	}
	return w
}

// alone returns the one suspect that a lost process held, nil if there was none or
// more. Those that had settled count only where there is no other. Whoever saw only a
// part of what the process held cannot tell.
func (j *Judge) alone(gone store.Lost, jobs []*wire.Job) *wire.Job {
	if _, reported := j.releases[gone.ID]; reported || gone.More || !j.read {
		return nil
	}
	var fresh, settled []*wire.Job
	for _, job := range jobs {
		switch {
		case job == nil || !job.History.Suspect:
		case job.History.Settled:
			settled = append(settled, job)
		default:
			fresh = append(fresh, job)
		}
	}
	if len(fresh) == 0 {
		fresh = settled
	}
	if len(fresh) != 1 {
		return nil
	}
	return fresh[0]
}

package rescue

import (
	"fmt"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Salvage is what is done with a lost process: each job is told what happened to it,
// and goes to the front of its queue, or where the judgement sends it. The report is
// always there.
func (j *Judge) Salvage(gone store.Lost) store.Salvage {
	how, jobs := j.endOf(gone), parse(gone)
	report := &store.StopReport{
		ID: gone.ID, Release: gone.Last.Release, Tag: gone.Last.Tag, Grace: gone.Last.Grace,
		Reason: how.words, By: j.By, Cause: gone.Cause, Heard: gone.Beat, Ended: gone.Now, Blamed: j.blamed[gone.ID],
	}
	s := store.Salvage{ID: gone.ID, Cause: gone.Cause, Seen: gone.Seen, Report: report}
	alone := j.alone(gone, jobs)
	for i, held := range gone.Jobs {
		rescued := store.Rescued{Token: held.Token, Was: held.Payload, To: store.Ready}
		fate := store.Fate{Queue: held.Queue, Fate: "rescued"}
		// What cannot be read goes back as it is; whoever fetches it sees to it.
		if job := jobs[i]; job != nil {
			r := j.rule(gone, how, job, job == alone)
			fate.JID, fate.Kind, fate.Fate, fate.Note = job.JID, job.Name(), r.fate, r.note
			rescued.To, rescued.Delay, rescued.Payload = r.to, r.delay, remember(job, r)
			if r.to != store.Dead {
				fate.Wasted = wasted(gone, held.Queue, job)
			}
		}
		s.Jobs = append(s.Jobs, rescued)
		report.Jobs = append(report.Jobs, fate)
	}
	if n := len(gone.Jobs); n > 0 {
		report.Notes = append(report.Notes, givenBack(n, gone, j.By))
	}
	return s
}

// wasted is how long a job had run when its process was last heard of, if that is known:
// nobody knows when a job that has a checkpoint saved it, and what a process left to
// others it has reported itself. The beginning is by the clock of the process.
func wasted(gone store.Lost, queue string, job *wire.Job) time.Duration {
	if gone.Beat.IsZero() || gone.Cause == store.Left || len(job.History.Checkpoint) > 0 {
		return 0
	}
	for _, run := range gone.Last.Busy {
		if run.JID == job.JID && run.Queue == queue && !run.Since.IsZero() {
			return max(0, gone.Beat.Sub(run.Since))
		}
	}
	return 0
}

// givenBack says in a report what was done, and how long after the process was last
// heard of where that is known.
func givenBack(n int, gone store.Lost, by store.Identity) string {
	jobs := "1 job"
	if n > 1 {
		jobs = fmt.Sprintf("%d jobs", n)
	}
	if after := gone.Now.Sub(gone.Beat); !gone.Beat.IsZero() && after > 0 {
		jobs += fmt.Sprintf(" given back %.1f s after its last beat", after.Seconds())
	} else {
		jobs += " given back"
	}
	return fmt.Sprintf("%s by %s:%d", jobs, by.Host(), by.PID())
}

// remember writes a ruling into its job. A job that is buried says why where people
// look for the last error; no attempt is billed for it.
func remember(job *wire.Job, r ruling) []byte {
	h := job.History
	h.Interruptions++
	if r.crash {
		h.Crashes++
	}
	h.Suspect, h.Settled = r.suspect, false
	h.Add(r.event)
	if r.to != store.Dead {
		return job.WithHistory(h)
	}
	h.Add(wire.Event{At: r.event.At, What: "buried", Cause: "poison", By: r.event.By, Note: r.note})
	var p wire.Patch
	p.SetString("error_class", "poison")
	p.SetString("error_message", r.note)
	p.Delete("error_backtrace") // of an earlier failure
	p.SetHistory(h)
	return job.With(&p)
}

// ending is how a process ended, as far as it can be told from outside.
type ending struct {
	cause string // in the job's history
	words string // in the stop report
	crash bool   // may count against the jobs it ran
}

// endOf judges by the last that was heard of the process. One that was asked to
// stop and vanished on the way was killed for being slow, not by its jobs.
func (j *Judge) endOf(gone store.Lost) ending {
	switch {
	case gone.Cause == store.Left:
		return ending{causeDeploy, "left while jobs still ran", false}
	case gone.Cause == store.Unclaimed:
		return ending{"nobody held it", "held jobs without a lease", false}
	case gone.Last.State == "quiet" || gone.Last.State == "draining":
		return ending{causeDeploy, "vanished while " + gone.Last.State, false}
	}
	if d, told := j.Deaths[gone.ID]; told {
		return ending{d.cause, d.words, !d.wanted}
	}
	return ending{causeCrash, "vanished", true}
}

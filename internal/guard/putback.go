package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// ends is how many jobs at either end of a queue are looked at. A process that must stop
// puts its jobs at the front, and one that it can resume at the back.
const ends = 100

// answerWithin is how long a guard that is stopped waits for the store's answer to what it
// puts back.
const answerWithin = 3 * time.Second

// putBack puts back what lost processes ran, judged as a rescue judges what ebb's own
// processes held.
func (g *Guard) putBack(ctx context.Context, gone []store.RubyProcess, queues *queues) (jobs []Job, err error) {
	judge := rescue.Judge{By: g.By, Poison: g.Poison, Deaths: g.Died}
	lost := make([]store.Lost, len(gone))
	for i := range gone {
		lost[i] = gone[i].Lost
	}
	if err := judge.Read(ctx, g.Store.Stops, lost); err != nil {
		g.Log.Warn("jobs are put back without a look at earlier crashes", "cause", err)
	}
	elsewhere, err := runningOf(ctx, g.Store, lost)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range gone {
		more, err := g.putBackOf(ctx, &judge, p, func(queue, jid string) (string, error) {
			if elsewhere[jid] {
				return "it runs elsewhere already", nil
			}
			waits, err := queues.have(ctx, queue, jid)
			if waits {
				return "it is in its queue already", err
			}
			return "", err
		})
		jobs, errs = append(jobs, more...), append(errs, err)
	}
	return jobs, errors.Join(errs...)
}

// putBackOf does so for one of them. back tells where a job is that needs nobody to put
// it back, in words.
func (g *Guard) putBackOf(ctx context.Context, judge *rescue.Judge, p store.RubyProcess, back func(queue, jid string) (string, error)) (jobs []Job, err error) {
	gone, settled := p.Lost, p.Unreadable
	gone.Jobs = nil
	var fates []store.Fate
	for _, held := range p.Lost.Jobs {
		fate := fateOf(held)
		if fate.Note, err = back(held.Queue, fate.JID); err != nil {
			return nil, err
		}
		if fate.Note == "" {
			gone.Jobs = append(gone.Jobs, held)
			continue
		}
		fate.Fate = HandedBack
		settled, fates = append(settled, held.Token), append(fates, fate)
	}
	s := judge.Salvage(gone)
	for i, r := range s.Jobs {
		s.Jobs[i].Payload = marked(gone, r, g.By)
	}
	s.Report.Jobs = append(s.Report.Jobs, fates...)
	s.Report.Notes = append(s.Report.Notes, "Ruby kept its jobs in memory: what began after its last beat is not known, and what ended after it runs again")
	if n := len(p.Unreadable); n > 0 {
		s.Report.Notes = append(s.Report.Notes, fmt.Sprintf("%d of its slots told of no job that can be read", n))
	}
	for _, fate := range s.Report.Jobs {
		jobs = append(jobs, Job{fate, gone.ID, gone.Cause})
	}
	if g.DryRun {
		return jobs, nil
	}
	if len(p.Lost.Jobs) == 0 && gone.Last.State == "quiet" {
		s.Report = nil // its last beat came after its goodbye
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// What was moved is told, also by a guard that is stopped meanwhile.
	answered, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(answerWithin, cancel) })()
	moved, last, err := g.Store.PutBack(answered, s, settled...)
	if err != nil || moved == 0 && !last {
		return nil, err // another guard has seen to it, or it is back
	}
	g.tell(p, jobs)
	return jobs, nil
}

// tell logs what became of the jobs of a lost process.
func (g *Guard) tell(p store.RubyProcess, jobs []Job) {
	g.Log.Warn("process vanished", "process", p.Lost.ID, "cause", string(p.Lost.Cause), "jobs", len(jobs), "last_beat", p.Lost.Now.Sub(p.Lost.Beat))
	for _, j := range jobs {
		attrs := []any{"jid", j.Fate.JID, "kind", j.Fate.Kind, "queue", j.Fate.Queue, "process", j.From, "cause", j.Fate.Note}
		switch j.Fate.Fate {
		case HandedBack:
			g.Log.Info("job was handed back by its process", attrs...)
		case "buried":
			g.Log.Error("job buried: it is poison", attrs...)
		case "delayed":
			g.Log.Warn("job put back with a delay: its process crashed again", attrs...)
		default:
			g.Log.Info("job put back", attrs...)
		}
	}
	for _, run := range p.Unreadable {
		g.Log.Error("a slot told of no job that can be read", "process", p.Lost.ID, "bytes", len(run))
	}
}

// marked is the payload of a job that is put back: it says that it may have run before.
func marked(gone store.Lost, r store.Rescued, by store.Identity) []byte {
	job, err := wire.Parse(r.Payload)
	if err != nil || r.To == store.Dead {
		return r.Payload
	}
	h := job.History
	h.Add(wire.Event{At: gone.Now, What: "put back", Cause: "last seen at a beat", By: string(by), Note: "it may have run to its end since"})
	return job.WithHistory(h)
}

// queues are what waits near the ends of queues, each as it was when it was first asked.
type queues struct {
	store.Inspector
	waiting map[string]map[string]bool // jids, by queue
}

// have reports whether a job waits. Without a jid nobody can tell.
func (q *queues) have(ctx context.Context, queue, jid string) (bool, error) {
	if q.waiting[queue] == nil {
		jids := map[string]bool{}
		for _, newest := range []bool{false, true} {
			for e, err := range q.Jobs(ctx, store.Query{Place: store.Ready, Queue: queue, Limit: ends, Newest: newest}) {
				if err != nil {
					return false, err
				}
				jids[jidOf(e.Payload)] = true
			}
		}
		q.waiting[queue] = jids
	}
	return jid != "" && q.waiting[queue][jid], nil
}

// runningOf tells which jids run in processes that are not lost.
func runningOf(ctx context.Context, s store.Inspector, lost []store.Lost) (map[string]bool, error) {
	processes, err := s.Processes(ctx)
	if err != nil {
		return nil, err
	}
	running := map[string]bool{}
	for _, p := range processes {
		if slices.ContainsFunc(lost, func(l store.Lost) bool { return l.ID == p.ID }) {
			continue
		}
		for _, run := range p.Busy {
			running[run.JID] = true
		}
	}
	delete(running, "")
	return running, nil
}

func jidOf(payload []byte) string {
	if job, err := wire.Parse(payload); err == nil {
		return job.JID
	}
	return ""
}

func fateOf(held store.Held) store.Fate {
	fate := store.Fate{Queue: held.Queue}
	if job, err := wire.Parse(held.Payload); err == nil {
		fate.JID, fate.Kind = job.JID, job.Name()
	}
	return fate
}

package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// view shows what happens: events as lines that stay, the rest below them.
type view struct {
	*demo
	workers  []store.Process // as of the last look
	died     map[int]*loss
	resumed  int64 // the last resumption that was told
	walked   int   // files that the walk has done, as far as known
	shown    counts
	saidAt   time.Time
	invited  bool
	killings int // by the demo itself
}

// loss is a worker that died, and what is still to be told of it.
type loss struct {
	death
	jobs    int
	walked  bool // the walk was among them
	rescued bool // was told
}

const (
	lookEvery = 100 * time.Millisecond
	// A worker that dies by itself each time it is started would do so for ever.
	maxDeaths = 50
)

// follow watches until all jobs are done or ctx ends.
func (v *view) follow(ctx context.Context) error {
	v.died = map[int]*loss{}
	last, err := v.ledger.lastResumed(ctx)
	if err != nil {
		return err
	}
	v.resumed = last.id
	for tick := time.Tick(lookEvery); ; {
		done, err := v.look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil
		}
	}
}

func (v *view) look(ctx context.Context) (done bool, err error) {
	for _, d := range v.crew.untold() {
		if err := v.tellDeath(d); err != nil {
			return false, err
		}
	}
	processes, err := v.client.Store().Processes(ctx)
	if err != nil {
		return false, err
	}
	v.workers = slices.DeleteFunc(processes, func(p store.Process) bool { return !slices.Contains(v.crew.pids(), p.PID) })
	c, err := v.ledger.counts(ctx)
	if err != nil {
		return false, err
	}
	if err := v.tellRescues(ctx); err != nil {
		return false, err
	}
	if err := v.tellResumption(ctx); err != nil {
		return false, err
	}
	v.invite(c)
	v.killOne(c)
	v.draw(c)
	return c.finished(), nil
}

// stamp is how far into the demo a moment is.
func (v *view) stamp(at time.Time) string {
	return console.Dim(fmt.Sprintf("%5.1f s", at.Sub(v.began).Seconds()))
}

// tellDeath says that a worker is gone and starts another in its place.
func (v *view) tellDeath(d death) error {
	l := &loss{death: d}
	for _, p := range v.workers {
		if p.PID == d.pid {
			l.jobs = len(p.Busy)
			l.walked = walkOn(p) != ""
		}
	}
	v.died[d.pid] = l
	if len(v.died) > maxDeaths || d.how != "signal: killed" && d.said != "" {
		return fmt.Errorf("demo: worker %d ended: %s\n%s", d.pid, d.how, d.said)
	}
	v.live.Say("%s  %s worker %d is gone (%s); it ran %s", v.stamp(d.at), console.Bad("✕"), d.pid, d.how, prose.Plural(l.jobs, "job"))
	if err := v.crew.start(); err != nil {
		return fmt.Errorf("demo: start a worker: %w", err)
	}
	return nil
}

// tellRescues says whose jobs were given back.
func (v *view) tellRescues(ctx context.Context) error {
	if !slices.ContainsFunc(mapped(v.died), func(l *loss) bool { return !l.rescued }) {
		return nil
	}
	for stop, err := range v.client.Store().Stops(ctx) {
		if err != nil {
			return err
		}
		if stop.Ended.Before(v.began) {
			return nil // newest first
		}
		l := v.died[stop.ID.PID()]
		if l == nil || l.rescued {
			continue
		}
		l.rescued = true
		v.live.Say("%s  %s %s rescued %s after its end by worker %d, no attempt billed", v.stamp(stop.Ended), console.Warn("⤹"),
			prose.Plural(len(stop.Jobs), "job"), prose.Span(max(0, stop.Ended.Sub(l.at))), stop.By.PID())
	}
	return nil
}

func mapped(m map[int]*loss) (all []*loss) {
	for _, l := range m {
		all = append(all, l)
	}
	return all
}

// tellResumption says that the walk runs again.
func (v *view) tellResumption(ctx context.Context) error {
	r, err := v.ledger.lastResumed(ctx)
	if err != nil || r.id == v.resumed {
		return err
	}
	v.resumed, v.walked = r.id, int(r.file)
	after := ""
	for _, l := range v.died {
		if gap := r.at.Sub(l.at); l.walked && gap > 0 {
			after = " " + prose.Span(gap) + " later"
			l.walked = false
		}
	}
	v.live.Say("%s  %s the walk goes on%s on worker %d, from file %s, its last checkpoint", v.stamp(r.at), console.Good("↻"),
		after, r.pid, prose.Count(r.file))
	return nil
}

// invite asks to be killed, once both workers are there and one runs the walk, whose
// going on is worth seeing.
func (v *view) invite(c counts) {
	walks := func(p store.Process) bool { return walkOn(p) != "" }
	if v.invited || len(v.workers) < workers || !c.walked && !slices.ContainsFunc(v.workers, walks) {
		return
	}
	v.invited = true
	if v.Kills == 0 && !v.live.Shows() {
		v.live.Say("kill a worker and see: kill -9 %d", v.target())
	}
}

// target is the worker that is best killed: the one that runs the walk.
func (v *view) target() int {
	for _, p := range v.workers {
		if walkOn(p) != "" {
			return p.PID
		}
	}
	if len(v.workers) > 0 {
		return v.workers[0].PID
	}
	return 0
}

// killOne kills a worker where the demo does that itself, evenly over its course.
func (v *view) killOne(c counts) {
	if v.killings < v.Kills && len(v.workers) == workers && c.done*(v.Kills+1) >= c.files*(v.killings+1) {
		v.killings++
		v.crew.kill(v.target())
	}
}

// walkOn returns how far the walk is, in words, if p runs it.
func walkOn(p store.Process) string {
	for _, run := range p.Busy {
		if run.Queue == "walk" {
			if run.Note == "" {
				return "0"
			}
			return run.Note
		}
	}
	return ""
}

func (v *view) draw(c counts) {
	const cells = 32
	walker := 0
	for _, p := range v.workers {
		if at := walkOn(p); at != "" {
			told := 0
			fmt.Sscanf(at, "%d", &told)
			v.walked, walker = max(v.walked, told), p.PID
		}
	}
	if c.walked {
		v.walked = c.files
	}
	if !v.live.Shows() {
		v.report(c)
		return
	}
	bar := func(n int) string { return v.Term.Bar(int64(n), int64(c.files), cells) }
	on := ""
	if walker != 0 {
		on = console.Dim(fmt.Sprintf("on worker %d", walker))
	}
	lines := []string{
		"",
		fmt.Sprintf("  files  %s  %s/%s", bar(c.done), prose.Count(c.done), prose.Count(c.files)),
		fmt.Sprintf("  walk   %s  %s/%s  %s", bar(v.walked), prose.Count(v.walked), prose.Count(c.files), on),
		"",
	}
	var crew []string
	for _, p := range v.workers {
		crew = append(crew, fmt.Sprintf("%s worker %d  %s", console.Good("●"), p.PID, prose.Plural(len(p.Busy), "job")))
	}
	lines = append(lines, "  "+strings.Join(crew, "     "))
	if pid := v.target(); pid != 0 && v.Kills == 0 {
		lines = append(lines, "", "  Kill one, from another terminal:  "+console.Bold(fmt.Sprintf("kill -9 %d", pid)))
	}
	v.live.Set(lines...)
}

// report says now and then how far things are, where nobody watches them change.
func (v *view) report(c counts) {
	tenth := func(n int) int { return 10 * n / max(1, c.files) }
	if tenth(c.done) == tenth(v.shown.done) && c.finished() == v.shown.finished() || time.Since(v.saidAt) < time.Second && !c.finished() {
		return
	}
	v.shown, v.saidAt = c, time.Now()
	v.live.Say("%s  %s of %s files, the walk is at %s", v.stamp(time.Now()), prose.Count(c.done), prose.Count(c.files), prose.Count(v.walked))
}

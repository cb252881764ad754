package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ebbjobs/ebb/drain"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// drainReport tells of a drain wherever somebody may look: on standard error, in the
// file of -o, and on what each worker has as its standard output, since what a hook
// prints is shown nowhere. It is told by one goroutine at a time.
type drainReport struct {
	*app
	live    *console.Live
	also    io.Writer          // -o; nil: none
	file    *os.File           // -o, if it is a file
	workers map[int]*os.File   // by number; nil: cannot be written to
	seen    func(drain.Report) // nil: nobody else looks
}

func newDrainReport(a *app, output string) *drainReport {
	r := &drainReport{app: a, live: a.term.Aside(), workers: map[int]*os.File{}}
	switch output {
	case "":
	case "stdout":
		r.also = a.term.Out
	default:
		f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			r.say("there is no report in a file: %v", err) // jobs matter more
			break
		}
		r.also, r.file = f, f
	}
	return r
}

// note tells of a change.
func (r *drainReport) note(e drain.Event) {
	line := fmt.Sprintf("ebb drain: %s: %s", e.Worker, e.Text)
	stamped := e.At.UTC().Format(time.RFC3339) + " " + line + "\n"
	if r.live.Shows() {
		r.live.Say("%s %s: %s", console.Dim(e.At.Format(time.TimeOnly)), e.Worker, e.Text)
	} else {
		r.live.Say("%s", line)
	}
	if r.also != nil {
		io.WriteString(r.also, stamped)
	}
	if f := r.stdoutOf(e.PID); f != nil {
		drain.WriteSoon(f, stamped)
	}
}

// stdoutOf opens a worker's standard output once, while it is there.
func (r *drainReport) stdoutOf(pid int) *os.File {
	if pid == 0 {
		return nil
	}
	f, known := r.workers[pid]
	if !known {
		others := []*os.File{os.Stdout, os.Stderr}
		if r.file != nil {
			others = append(others, r.file)
		}
		f = drain.Stdout(pid, others...)
		r.workers[pid] = f
	}
	return f
}

// mostShown is how many jobs a terminal shows.
const mostShown = 8

// watch shows what runs still, where a person looks.
func (r *drainReport) watch(report drain.Report) {
	if r.seen != nil {
		r.seen(report)
	}
	if !r.live.Shows() {
		return
	}
	now := time.Now()
	var lines []string
	var runs []store.Run
	for _, w := range report.Workers {
		if w.Outcome == drain.Underway {
			lines = append(lines, r.standing(w, now))
			runs = append(runs, w.State.Runs...)
		}
	}
	for i, run := range runs {
		if i == mostShown {
			lines = append(lines, console.Dim(fmt.Sprintf("    and %d more", len(runs)-mostShown)))
			break
		}
		lines = append(lines, fmt.Sprintf("    %s %s  %s", prose.Plain(run.Kind), console.Dim(prose.Plain(run.JID)), prose.Span(max(0, now.Sub(run.Since)))))
	}
	r.live.Set(lines...)
}

// standing is the line of one worker: how it is, what it runs, and when TERM comes.
func (r *drainReport) standing(w drain.Result, now time.Time) string {
	state, busy := "running", prose.Plural(w.State.Busy, "job")
	switch {
	case w.State.Frozen:
		state = "frozen"
	case w.State.Blind:
		busy = "nobody knows what runs"
	}
	if w.State.Quiet {
		state = "quiet"
	}
	left := w.Deadline.Sub(now)
	when := "TERM in " + prose.Span(left.Round(time.Second))
	if left <= 0 {
		state, when = "draining", "after TERM"
	}
	look := stateLooks[state]
	if r.term.Unicode {
		state = look.sign + " " + state
	}
	return fmt.Sprintf("%s  %s  %s  %s", look.style(state), prose.Plain(w.Name), console.Bold(busy), console.Dim(when))
}

// rest takes away what changed, and lets go of the workers' outputs: whoever reads one
// waits for its end.
func (r *drainReport) rest() {
	r.live.Set()
	for _, f := range r.workers {
		if f != nil {
			f.Close()
		}
	}
	clear(r.workers)
}

func (r *drainReport) close() {
	r.rest()
	if r.file != nil {
		r.file.Close()
	}
}

package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/beat"
	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/internal/verdict"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

var (
	errNoTime  = errors.New("runner: the grace period is over")
	errNotHere = errors.New("process does not run")
)

// Tell passes on an event and returns at once. Before Run it waits for Run, and
// after Run nobody hears it.
func (r *Runner) Tell(e lifecycle.Event) { r.inbox.put(message{event: e}) }

// Notice passes on an event and returns when it has taken effect.
func (r *Runner) Notice(e lifecycle.Event) error {
	heard := make(chan struct{})
	if !r.inbox.put(message{e, heard}) {
		return errNotHere
	}
	select {
	case <-heard:
		return nil
	case <-r.done:
		return errNotHere
	}
}

// Started is closed when the process is registered with its store.
func (r *Runner) Started() <-chan struct{} { return r.started }

// Done is closed when Run has returned.
func (r *Runner) Done() <-chan struct{} { return r.done }

// Err returns what Run returned, once Done is closed.
func (r *Runner) Err() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Reported is closed when Report returns the report of the stop. Where deaf jobs
// keep an embedded process from leaving, that is before Done.
func (r *Runner) Reported() <-chan struct{} { return r.reported }

// Report returns what the stop did, once Reported is closed.
func (r *Runner) Report() store.StopReport { return r.report }

// watch follows the lifecycle until it says to leave.
func (r *Runner) watch(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ended := ctx.Done()
	for {
		var messages []message
		select {
		case <-ended:
			ended = nil
			why := "context ended"
			if cause := context.Cause(ctx); cause != nil && cause != context.Canceled {
				why += ": " + cause.Error()
			}
			messages = []message{{event: lifecycle.Event{Kind: lifecycle.Stop, Why: why}}}
		case <-r.inbox.wake:
			messages = r.inbox.take()
		case <-timer.C:
		case <-r.keeping.quiesced:
		}
		if leave := r.hear(messages); leave {
			return
		}
		if next, ok := r.view.next(); ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
	}
}

// hear feeds events to the lifecycle, does what it answers, and reports whether
// that is to leave.
func (r *Runner) hear(messages []message) (leave bool) {
	events := []lifecycle.Event{{Kind: lifecycle.Tick}}
	for _, m := range messages {
		events = append(events, m.event)
	}
	for _, e := range events {
		leave = r.follow(e) || leave
	}
	if r.view.state() == lifecycle.Draining && r.keeping.idle() {
		leave = r.follow(lifecycle.Event{Kind: lifecycle.Idle}) || leave
	}
	for _, m := range messages {
		if m.heard != nil {
			close(m.heard)
		}
	}
	return leave
}

// follow does what the lifecycle answers to one event.
func (r *Runner) follow(e lifecycle.Event) (leave bool) {
	before := r.view.state()
	actions := r.view.on(e)
	if state := r.view.state(); state != before && state != lifecycle.Stopped {
		r.enter(state.String())
	}
	for _, action := range actions {
		switch action {
		case lifecycle.StartFetching:
			r.keeping.watch(false)
			r.notice.takeBack()
			r.gate.reopen()
		case lifecycle.StopFetching:
			r.keeping.watch(true)
			r.gate.close()
			r.saveAll()
		case lifecycle.Notify:
			_, deadlines := r.view.get()
			r.notice.give(deadlines.Kill)
			r.saveAll()
		case lifecycle.EndJobs:
			r.enter("end jobs")
			r.endJobs(verdict.ErrDraining)
		case lifecycle.Print:
			r.print(os.Stderr)
		case lifecycle.Leave:
			leave = true
		}
	}
	if len(actions) > 0 {
		r.heart.Nudge() // people see the new state at once
	}
	return leave
}

// giveUp ends the waiting for jobs, and returns those that are deaf to it. An
// embedded process has no kill ahead that would end them: it keeps their lease
// until they return, so that they never run beside themselves.
func (r *Runner) giveUp() (deaf []*Attempt) {
	for _, a := range r.keeping.all() {
		if a.giveUp() {
			deaf = append(deaf, a)
			wasted := a.took()
			if r.opt.Embedded {
				wasted = 0 // as the job's own end will show
			}
			r.keeping.fate(a.fate("deaf", nil, wasted))
			r.log.Error("job is deaf: it did not return when its context ended", append(a.attrs(), "took", a.took())...)
		}
	}
	if !r.opt.Embedded || len(deaf) == 0 {
		return deaf
	}
	r.enter("deaf")
	r.publish(false)
	for !r.keeping.idle() {
		select {
		case <-r.keeping.quiesced:
		case <-r.inbox.wake:
			r.hear(r.inbox.take())
		}
	}
	return nil
}

// leave says goodbye to the store. What it names as deaf stays held; all else that
// the store still has here goes back.
func (r *Runner) leave(ctx context.Context, deaf []*Attempt) error {
	r.enter("leave")
	f := store.Farewell{ID: r.opt.ID, Runs: r.counts.all(), Ended: r.gone.untold(), Report: r.stopReport()}
	for _, a := range deaf {
		f.Deaf = append(f.Deaf, a.token)
	}
	if len(f.Deaf) > store.MaxBatch {
		// What is not named goes back, beside the handler that still runs it.
		return fmt.Errorf("runner: leave: %d deaf jobs are more than one call can name; they are rescued when the lease ends", len(f.Deaf))
	}
	call := r.record.next()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := r.opt.Store.Leave(ctx, call, f)
		if err == nil || errors.Is(err, store.ErrLeft) {
			r.log.Info("process left", "state", "stopped", "took", r.journal.total(), "deaf", len(deaf), "cause", r.why())
			return nil
		}
		if beat.Final(err) || !sleep(ctx, jitter(pause)) {
			r.log.Error("process could not say goodbye; what it held is rescued when its lease ends", "cause", err)
			return fmt.Errorf("runner: leave: %w", err)
		}
	}
}

// stopReport says what the stop has done so far.
func (r *Runner) stopReport() store.StopReport {
	report := store.StopReport{
		ID: r.opt.ID, Release: r.opt.Self.Release, Tag: r.opt.Self.Tag,
		Reason: r.why(), Began: r.journal.began(), Ended: time.Now(),
		Phases: r.journal.phases(), Jobs: r.keeping.allFates(),
	}
	if _, d := r.view.get(); !d.IsZero() {
		report.Grace = d.Kill.Sub(d.Notice)
	}
	return report
}

// publish makes the report known, unless it is, and the end too where Run returns.
// Whoever sees the report first sees then whether that was the end.
func (r *Runner) publish(ended bool) {
	known := r.published
	if r.published = true; !known {
		r.report = r.stopReport()
	}
	if ended {
		close(r.done)
	}
	if !known {
		close(r.reported)
	}
}

// enter notes and logs that a phase begins.
func (r *Runner) enter(phase string) {
	inFlight := r.keeping.running()
	before, took := r.journal.enter(phase, inFlight)
	_, deadlines := r.view.get()
	attrs := []any{"state", phase, "after", before, "took", took, "in_flight", inFlight}
	if why := r.why(); why != "" {
		attrs = append(attrs, "cause", why)
	}
	if !deadlines.IsZero() {
		attrs = append(attrs, "kill_in", time.Until(deadlines.Kill).Round(time.Millisecond))
	}
	r.log.Info("process "+phase, attrs...)
}

func (r *Runner) logStart(began time.Time) {
	grace, d := r.view.preview(began)
	slots, queues := 0, []string{}
	for _, g := range r.opt.Groups {
		slots += g.Concurrency
		for _, q := range g.Queues {
			queues = append(queues, q.Queue)
		}
	}
	r.journal.enter("running", 0)
	r.log.Info("process running", "state", "running", "took", time.Since(began),
		"store", r.opt.Store.Describe().URL, "concurrency", slots, "queues", queues,
		"grace", grace, "grace_from", r.opt.GraceFrom, "jobs_end", d.JobsEnd.Sub(began), "give_up", d.GiveUp.Sub(began), "goodbye", d.Goodbye.Sub(began),
		"beat", r.opt.Beat, "lease", r.opt.TTL)
}

func (r *Runner) why() string    { return r.view.why() }
func (r *Runner) stopping() bool { return r.view.state() != lifecycle.Running }

// Status tells how things are now, exactly.
func (r *Runner) Status() control.Status {
	state, deadlines := r.view.get()
	s := control.Status{
		ID: r.opt.ID, PID: r.opt.Self.PID, State: state.String(), Why: r.why(),
		Grace: r.view.grace(), Deadlines: deadlines, Busy: []store.Run{},
	}
	for _, a := range r.keeping.all() {
		if run, ok := a.runs(); ok {
			s.Busy = append(s.Busy, run)
		}
	}
	slices.SortFunc(s.Busy, func(a, b store.Run) int { return a.Since.Compare(b.Since) })
	return s
}

// InFlight counts the jobs that run, and those that were fetched and are to begin.
func (r *Runner) InFlight() int { return r.keeping.running() }

// Dump tells in words what runs, with all goroutines.
func (r *Runner) Dump() string {
	var b strings.Builder
	r.print(&b)
	return b.String()
}

func (r *Runner) print(w io.Writer) {
	s := r.Status()
	fmt.Fprintf(w, "%s is %s and runs %d jobs\n", s.ID, s.State, len(s.Busy))
	for _, run := range s.Busy {
		fmt.Fprintf(w, "slot %s: %s %s from %s for %v %s\n", run.Slot, run.Kind, run.JID, run.Queue,
			time.Since(run.Since).Round(time.Millisecond), run.Note)
	}
	pprof.Lookup("goroutine").WriteTo(w, 2)
}

// await waits for wg until ctx ends.
func await(ctx context.Context, wg *sync.WaitGroup) {
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
	}
}

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/chaos"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// chaosView shows what is done to whom, and the ledger so far: steps as lines that
// stay, the rest below them. Where nobody watches there is a line now and then.
type chaosView struct {
	*app
	terms  chaos.Terms
	live   *console.Live
	steps  int
	lines  []string // that change
	saidAt time.Time
}

func newChaosView(a *app, terms chaos.Terms, d store.Description, queue string) *chaosView {
	v := &chaosView{app: a, terms: terms, live: a.term.Aside(), steps: len(chaos.Make(terms).Steps), saidAt: time.Now()}
	v.live.Say("seed %d: %s in %s on %s, queue %s", terms.Seed, prose.Plural(v.steps, "fault"), prose.Span(terms.For), cmp.Or(d.Server, d.Driver), queue)
	return v
}

// told says that a step begins.
func (v *chaosView) told(e chaos.Event) {
	if !v.live.Shows() {
		return
	}
	v.live.Say("%s  %-9s  %s  %s", console.Dim(fmt.Sprintf("%6.1f s", e.Began.Seconds())), e.Target, faultWord(e.Fault, 13), console.Dim(faultMeans(e.Step)))
	v.live.Set(v.lines...)
}

// faultWord is a fault in its colour, as wide as that.
func faultWord(f chaos.Fault, width int) string {
	word := fmt.Sprintf("%-*s", width, f)
	switch f {
	case chaos.Kill, chaos.StoreKill:
		return console.Bad(word)
	case chaos.Stop, chaos.StoreRestart, chaos.Cut:
		return console.Warn(word)
	}
	return console.Code(word)
}

func faultMeans(s chaos.Step) string {
	lasts := prose.Span(s.For)
	switch s.Fault {
	case chaos.Kill:
		return "KILL, and another in its place " + lasts + " later"
	case chaos.Stop:
		return "TERM, and another in its place " + lasts + " later"
	case chaos.Freeze, chaos.StoreFreeze:
		return "STOP, and CONT " + lasts + " later"
	case chaos.Hold:
		return "nothing passes for " + lasts
	case chaos.Refuse:
		return "no connection for " + lasts
	case chaos.Mute:
		return "replies are lost for " + lasts
	case chaos.Delay:
		return "everything is late for " + lasts
	case chaos.StoreRestart:
		return "TERM, and started again " + lasts + " later"
	case chaos.StoreKill:
		return "KILL, and started again " + lasts + " later"
	}
	return "its connections end"
}

// show draws how things are.
func (v *chaosView) show(now chaos.View) {
	if !v.live.Shows() {
		const every = 10 * time.Second
		if time.Since(v.saidAt) >= every {
			v.saidAt = time.Now()
			v.live.Say("%s", v.ledger(now))
		}
		return
	}
	v.lines = []string{""}
	for _, s := range now.Seats {
		v.lines = append(v.lines, "  "+seatLine(s))
	}
	const cells = 24
	done := min(now.Took, v.terms.For)
	v.lines = append(v.lines, "",
		fmt.Sprintf("  %s  %s of %s  %s", v.term.Bar(int64(done), int64(v.terms.For), cells), prose.Span(done), prose.Span(v.terms.For), v.phase(now)),
		"  "+v.ledger(now))
	v.live.Set(v.lines...)
}

func (v *chaosView) phase(now chaos.View) string {
	switch now.Phase {
	case chaos.Starting:
		return "processes start"
	case chaos.Settling:
		return "no more faults: what is left is being done"
	case chaos.Ending:
		return "processes end"
	}
	return fmt.Sprintf("%d of %s", now.Applied, prose.Plural(v.steps, "fault"))
}

func (v *chaosView) ledger(now chaos.View) string {
	parts := []string{"accepted " + prose.Count(now.Accepted), "done " + prose.Count(now.Done), "twice " + prose.Count(now.Twice)}
	if r := now.Recovery; r.Samples > 0 {
		parts = append(parts, fmt.Sprintf("again in p50 %s · max %s", seconds(r.P50), seconds(r.Max)))
	}
	return strings.Join(parts, "   ")
}

func seatLine(s chaos.Seat) string {
	state, jobs := console.Good("●"), ""
	if s.PID == 0 {
		state = console.Bad("✕")
	}
	if s.Jobs > 0 {
		jobs = prose.Plural(s.Jobs, "job")
	}
	var line strings.Builder
	line.WriteString(fmt.Sprintf("%-9s  %s  %-7s", s.Target, state, jobs))
	for _, d := range s.Now {
		line.WriteString("  " + faultWord(d.Fault, 0))
		if d.Left > 0 {
			line.WriteString(console.Dim(" " + prose.Span(d.Left)))
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// end takes the changing lines away, and sets the answer off from those that stay.
func (v *chaosView) end() {
	v.live.Set()
	if v.live.Shows() {
		v.live.Say("")
	}
}

func seconds(s float64) string { return prose.Span(time.Duration(s * float64(time.Second))) }

// chaosPage is the ledger for people. Where says whose the store is, and again how to
// repeat it all.
func chaosPage(p *page, r chaos.Report, where, again string) {
	p.line("%s %s", cmp.Or(r.Store.Server, r.Store.Driver), where)
	p.line("seed %d for %s, %s, leases of %s", r.Seed, seconds(r.Seconds), prose.Plural(r.Workers, "worker"), seconds(r.Lease))
	p.line("%s", wrapped("faults: ", faultCounts(r), min(p.a.term.Width(), 100)))
	p.line("")
	row := func(what, figure, meaning string) {
		line := fmt.Sprintf("%-10s %9s", what, figure)
		if meaning != "" {
			line += "   " + console.Dim(meaning)
		}
		p.line("%s", line)
	}
	bad := func(n int) string {
		if n > 0 {
			return console.Bad(fmt.Sprintf("%9s", prose.Count(n)))
		}
		return console.Good(fmt.Sprintf("%9s", "0"))
	}
	row("accepted", prose.Count(r.Accepted), "")
	row("done", prose.Count(r.Done), "")
	row("twice", prose.Count(r.Twice), twiceMeans(r))
	if r.Unfinished > 0 {
		row("unfinished", prose.Count(r.Unfinished), "jobs that are still in the store")
	}
	row("lost", bad(r.Lost), "")
	if r.Backward > 0 {
		row("backward", bad(r.Backward), "runs that began behind an acknowledged checkpoint")
	}
	row("cut off", prose.Count(r.Cut), "runs, by the end of their process")
	recovery := func(what string, b chaos.Recovery, until string) {
		if b.Samples > 0 {
			row(what, prose.Count(b.Samples), fmt.Sprintf("p50 %s · p99 %s · max %s %s", seconds(b.P50), seconds(b.P99), seconds(b.Max), until))
		}
	}
	recovery("recovered", r.Recovery, "to run again")
	recovery("held back", r.Held, "as suspects")
	balance := console.Good("  balance")
	if !r.Balanced {
		balance = console.Bad("are wrong")
	}
	row("books", balance, "")
	if len(r.Stories) > 0 {
		p.line("")
	}
	for _, s := range r.Stories {
		p.line("%s %s%s: %s", s.What, s.JID, inPlace(s.Place), s.Runs)
	}
	p.line("")
	if r.Interrupted {
		p.line("interrupted: what was not done by then is not counted as lost")
	}
	p.line("%s %s", console.Dim("the same plan again:"), again)
}

func inPlace(place string) string {
	if place == "" {
		return ""
	}
	return " (" + place + ")"
}

func twiceMeans(r chaos.Report) string {
	switch {
	case r.Twice == 0:
		return ""
	case r.Explained == r.Twice:
		return "their holders were killed, frozen or cut off"
	}
	return fmt.Sprintf("%s of them explained by a kill, a freeze or a cut of their holder", prose.Count(r.Explained))
}

// faultCounts are how often each fault was applied, in the order of the plan's kinds.
func faultCounts(r chaos.Report) (counts []string) {
	for _, f := range r.Kind.Faults() {
		counts = append(counts, fmt.Sprintf("%s %d", f, r.Faults[f]))
	}
	return slices.Clip(counts)
}

// wrapped lays words out in lines of a width, behind a head.
func wrapped(head string, words []string, width int) string {
	lines := []string{head}
	for i, w := range words {
		if i+1 < len(words) {
			w += ","
		}
		last := &lines[len(lines)-1]
		if len(*last)+len(w) >= width {
			lines = append(lines, strings.Repeat(" ", len(head)))
			last = &lines[len(lines)-1]
		}
		*last += w + " "
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// chaosFinding says in a sentence what is wrong.
func chaosFinding(r chaos.Report) string {
	var wrong []string
	if r.Lost > 0 {
		wrong = append(wrong, prose.Plural(r.Lost, "job")+" lost")
	}
	if r.Unfinished > 0 && !r.Interrupted {
		wrong = append(wrong, prose.Plural(r.Unfinished, "job")+" not done")
	}
	if r.Backward > 0 {
		wrong = append(wrong, prose.Plural(r.Backward, "run")+" behind a checkpoint that was acknowledged")
	}
	if !r.Balanced {
		wrong = append(wrong, fmt.Sprintf("the books do not balance: custody %d, arrivals %d, accepted %d of %d",
			r.Books.Custody(), r.Books.Arrivals(), r.Books.Accepted, r.Accepted))
	}
	return strings.Join(wrong, ", ")
}

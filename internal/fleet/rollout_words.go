package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// The phases of a rollout.
const (
	PhaseQuiet    = "quiet"    // some are quiet, none drains yet
	PhaseDraining = "draining" // some drain
	PhaseBetween  = "between"  // none leaves now, and others are to go
	PhaseOver     = "over"
)

// Phase is how far it is, in a word.
func (r *Rollout) Phase() string {
	switch leaving := r.leaving(); {
	case !r.Ended.IsZero():
		return PhaseOver
	case leaving["draining"] > 0:
		return PhaseDraining
	case leaving["quiet"]+leaving["lapsed"]+leaving["frozen"] > 0:
		return PhaseQuiet
	}
	return PhaseBetween
}

// leaving counts those who leave, by state.
func (r *Rollout) leaving() map[string]int {
	states := map[string]int{}
	for i := range r.Living {
		if p := &r.Living[i]; Leaving(p) {
			states[State(p)]++
		}
	}
	return states
}

// Vanished is how many of those that ended did so without a stop of their own.
func (r *Rollout) Vanished() (n int) {
	for i := range r.Stops {
		if r.Stops[i].Vanished() {
			n++
		}
	}
	return n
}

// Deadline is the first hour at which one of those who leave is killed; zero if none
// has one.
func (r *Rollout) Deadline() (first time.Time) {
	for _, p := range r.Living {
		if Leaving(&p) && !p.Lapsed && !p.KillAt.IsZero() && (first.IsZero() || p.KillAt.Before(first)) {
			first = p.KillAt
		}
	}
	return first
}

// Title names it: "v142 → v143", "v142 restart", "vanished".
func (r *Rollout) Title() string {
	switch name := cmp.Or(r.From, r.Tag); {
	case r.To != "":
		return r.From + " → " + r.To
	case name != "":
		return name + " " + r.What
	}
	return r.What
}

// Sentence tells it in one line, under way or afterwards.
func (r *Rollout) Sentence(now time.Time) string {
	if r.Ended.IsZero() {
		return r.progress(now)
	}
	parts := []string{r.ends(), prose.Plural(r.Touched, "job") + " touched", prose.Count(r.Lost) + " lost"}
	if r.Longest != nil {
		used, of := r.Longest.Used()
		parts = append(parts, "longest stop "+Of(used, of))
	}
	if first := r.outcome(); first != "" {
		return first + ". " + strings.Join(parts, ", ") + "."
	}
	return strings.Join(parts, ", ") + "."
}

// outcome says who is left after a rollout.
func (r *Rollout) outcome() string {
	switch {
	case r.What != IsRollout:
		return ""
	case len(r.Living) > 0:
		return prose.Count(len(r.Living)) + " of " + r.From + " go on beside " + r.To
	case len(r.Next) == 0:
		return r.From + " is gone"
	}
	return r.To + " is alone"
}

// ends says how they ended.
func (r *Rollout) ends() string {
	vanished := r.Vanished()
	stopped := len(r.Stops) - vanished
	whose := ""
	if r.What != IsRollout && len(r.Stops) > 1 && r.From != "" {
		whose = " of " + r.From
	}
	switch {
	case r.What != IsRollout && len(r.Stops) == 1 && vanished == 1:
		return Short(store.Identity(r.Stops[0].ID)) + " vanished"
	case r.What != IsRollout && len(r.Stops) == 1:
		return Short(store.Identity(r.Stops[0].ID)) + " stopped"
	case vanished == 0:
		return prose.Count(stopped) + whose + " stopped"
	case stopped == 0:
		return prose.Count(vanished) + whose + " vanished"
	}
	return prose.Count(stopped) + whose + " stopped, " + prose.Count(vanished) + " vanished"
}

func (r *Rollout) progress(now time.Time) string {
	var parts []string
	states := r.leaving()
	for _, state := range []string{"draining", "quiet", "frozen", "lapsed"} {
		if n := states[state]; n > 0 {
			parts = append(parts, prose.Count(n)+" "+state)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, prose.Count(len(r.Living))+" of "+r.From+" still to go")
	} else {
		parts = append(parts, prose.Plural(r.StillRunning, "job")+" left")
	}
	if kill := r.Deadline(); !kill.IsZero() {
		parts = append(parts, Clock(kill.Sub(now))+" to the first deadline")
	}
	return strings.Join(append(parts, prose.Count(r.Lost)+" lost"), ", ")
}

// Sum says how the fates of jobs add up: "43 touched = 31 finished + 1 checkpointed + …".
func (c *Fates) Sum(touched, stillRunning int) string {
	var parts []string
	add := func(n int, word string) {
		if n > 0 {
			parts = append(parts, prose.Count(n)+" "+word)
		}
	}
	for _, f := range c.Each() {
		add(f.N, f.Word)
	}
	add(stillRunning, "still running")
	text := prose.Count(touched) + " touched"
	if len(parts) > 0 {
		text += " = " + strings.Join(parts, " + ")
	}
	return text
}

// Counted is how many jobs had one fate: its sign, and its word.
type Counted struct {
	Sign, Word string
	N          int
}

// Each returns the fates in the order in which people read them, those of no job too.
func (c *Fates) Each() []Counted {
	return []Counted{
		{"✓", "finished", c.Finished}, {"!", "failed", c.Failed}, {"↻", "checkpointed", c.Checkpointed},
		{"⤺", "handed back", c.HandedBack}, {"⤹", "rescued", c.Rescued}, {"▪", "deaf", c.Deaf}, {"?", "other", c.Other},
	}
}

// Of says how much of a time was used, in one unit: "89 s of 120".
func Of(used, of time.Duration) string {
	if of < 10*time.Minute {
		return seconds(used) + " s of " + seconds(of)
	}
	return prose.Span(used) + " of " + prose.Span(of)
}

func seconds(d time.Duration) string {
	s := d.Seconds()
	if s < 9.95 && s != float64(int(s)) {
		return fmt.Sprintf("%.1f", s)
	}
	return fmt.Sprintf("%.0f", s)
}

// Clock writes a time that is left as a clock does: "01:18", "1:02:03". Time that is
// over is 00:00.
func Clock(d time.Duration) string {
	s := int(max(0, d).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// tight is the part of a grace whose use leaves little.
const tight = 0.8

// Advice is what the stops of rollouts teach, in one line; empty if all had time enough.
func Advice(rollouts []Rollout) string {
	type used struct {
		stop  *Stop
		ratio float64
	}
	var all []used
	for i := range rollouts {
		for j := range rollouts[i].Stops {
			s := &rollouts[i].Stops[j]
			if took, of := s.Used(); of > 0 {
				all = append(all, used{s, float64(took) / float64(of)})
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortFunc(all, func(a, b used) int { return cmp.Compare(b.ratio, a.ratio) })
	slowest := all[:(len(all)+99)/100]
	least := slowest[len(slowest)-1].ratio
	if least < tight {
		return ""
	}
	who := "the slowest stop used"
	if len(all) >= 100 {
		who = "the slowest 1 % of stops used"
	}
	wasted := map[string]time.Duration{}
	for _, u := range slowest {
		for _, f := range u.stop.Jobs() {
			if f.Fate == "deaf" || f.Fate == "handed back" || f.Fate == "checkpointed" || f.Fate == "finished" {
				wasted[f.Kind] += max(f.Wasted, time.Millisecond)
			}
		}
	}
	advice := fmt.Sprintf("%s %.0f %% of their grace: raise it", who, 100*min(1, least))
	if len(all) < 100 {
		advice = strings.Replace(advice, "their", "its", 1)
	}
	delete(wasted, "")
	if len(wasted) > 0 {
		kinds := slices.Sorted(maps.Keys(wasted))
		worst := slices.MaxFunc(kinds, func(a, b string) int { return cmp.Compare(wasted[a], wasted[b]) })
		advice += " or checkpoint " + prose.Plain(worst)
	}
	return advice
}

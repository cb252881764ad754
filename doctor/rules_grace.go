package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// margin is what a stop needs beyond the times that are set: signals, the last writes,
// the runtime's own work.
const margin = 5 * time.Second

// Rules about how long a stop may take.
var graceRules = []Rule{
	{"D22", Error, "a grace that is too short for the hook and the worker",
		"Kubernetes counts the preStop hook inside terminationGracePeriodSeconds. When hook, worker timeout and a margin do not fit, KILL comes while the worker gives its jobs back.",
		"Raise the grace to hook + worker timeout + 5 s.", workers(graceTooShort)},
	{"D23", Error, "a hook that uses up the grace",
		"TERM comes after the hook. When that takes the whole grace, the worker gets the 2 s that Kubernetes adds, and then KILL.",
		"grace = hook + worker timeout + 5 s.", workers(hookTooLong)},
	{"D24", Error, "a drain that may take longer than the grace",
		"The hook is cut in the middle of the drain, and KILL follows 2 s later, to jobs that a TERM in time would have given back.",
		"Make drain -t and the grace agree: grace = -t + worker timeout + 5 s.", workers(drainTooLong)},
	{"D25", Error, "no grace at all",
		"With a grace of 0 the preStop hook is not run and KILL comes at once; a probe's own grace does the same to a worker whose probe fails.",
		"Leave the setting out, or make it as long as a stop needs.", workers(graceOfNothing)},
	{"D38", Error, "Compose or docker run with too short a grace",
		"docker stop and Compose KILL after 10 s unless told otherwise. Sidekiq alone takes 25 s to give its jobs back.",
		"stop_grace_period, or docker run --stop-timeout, above the worker's timeout.", composeTooShort},
	{"D49", Warn, "a worker timeout that does not fit, or is set twice",
		"When KILL comes before the worker's own timeout is over, it gives nothing back. Of two values only one counts, and people read the other.",
		"One value: -t at most grace − hook − 5 s.", workers(timeoutDoubtful)},
}

// hookTime is the longest that the hook takes of the grace. A drain that knows the
// grace (EBB_GRACE) ends early enough by itself.
func (w *workload) hookTime() time.Duration {
	most, _ := w.hook.bound()
	if _, drains := w.hook.drain(); drains && strings.Contains(w.hook.text.value, "ebb") {
		if told, ok := seconds(w.env["EBB_GRACE"].value); ok && told > 0 && told <= w.grace.value {
			most = min(most, max(0, told-w.termTime()-margin))
		}
	}
	return most
}

// termTime is what the worker takes from TERM on. ebb's own counts from the beginning
// of the stop, hook included, and needs no more than seconds after it.
func (w *workload) termTime() time.Duration {
	if w.worker == ebbWorker {
		return 0
	}
	return w.timeout.value
}

// needs is the least grace that a stop fits into.
func (w *workload) needs() time.Duration {
	need := time.Duration(0)
	if hook := w.hookTime(); hook > 0 || w.termTime() > 0 {
		need = hook + w.termTime() + margin
	}
	if w.worker == ebbWorker {
		need = max(need, w.timeout.value)
	}
	return need
}

func graceTooShort(_ *facts, w *workload, tell func(Finding)) {
	if w.platform != kubernetes || w.grace.value == 0 || w.hookTime() >= w.grace.value {
		return
	}
	if need := w.needs(); w.grace.value < need {
		effect := fmt.Sprintf("grace %s is less than preStop %s + worker timeout %s + margin: KILL comes while jobs are given back",
			spell(w.grace.value), spell(w.hookTime()), spell(w.timeout.value))
		if w.hook == nil {
			effect = fmt.Sprintf("grace %s is less than the worker's own %s + margin: KILL comes while jobs are given back", spell(w.grace.value), spell(w.timeout.value))
		}
		tell(Finding{At: w.grace.at, Effect: effect, Fix: fmt.Sprintf("terminationGracePeriodSeconds: %d", wholeSeconds(need)), Edit: w.grace.raise(need)})
	}
}

func (w *workload) overlong(drain bool, tell func(Finding), effect string) {
	if w.platform != kubernetes || w.hook == nil || w.grace.value == 0 {
		return
	}
	_, drains := w.hook.drain()
	if drains != drain || w.hookTime() < w.grace.value {
		return
	}
	tell(Finding{At: w.hook.text.orAt(w.hook.at), Effect: fmt.Sprintf(effect, spell(w.hookTime()), spell(w.grace.value)),
		Fix: fmt.Sprintf("terminationGracePeriodSeconds: %d", wholeSeconds(w.needs())), Edit: w.grace.raise(w.needs())})
}

func (t text) orAt(other Place) Place {
	if t.at.known() {
		return t.at
	}
	return other
}

func hookTooLong(_ *facts, w *workload, tell func(Finding)) {
	w.overlong(false, tell, "the hook takes %s of a grace of %s: TERM comes 2 s before KILL")
}

func drainTooLong(_ *facts, w *workload, tell func(Finding)) {
	w.overlong(true, tell, "the drain may take %s and the grace is %s: the hook is cut, and KILL comes 2 s later")
}

func graceOfNothing(_ *facts, w *workload, tell func(Finding)) {
	if w.platform != kubernetes {
		return
	}
	if w.grace.said() && w.grace.value == 0 {
		need := max(w.needs(), kubernetesGrace)
		tell(Finding{At: w.grace.at, Effect: "there is no grace: the hook is skipped and running jobs are KILLed at once",
			Fix: fmt.Sprintf("terminationGracePeriodSeconds: %d", wholeSeconds(need)), Edit: w.grace.raise(need)})
	}
	for _, p := range w.probes {
		if p.kind != "readinessProbe" && p.grace.said() && p.grace.value < w.termTime()+margin {
			tell(Finding{At: p.grace.at, Effect: fmt.Sprintf("when this probe fails the worker is KILLed after %s, not after the pod's grace", spell(p.grace.value)), Fix: "leave it out"})
		}
	}
}

func composeTooShort(f *facts, tell func(Finding)) {
	workers(func(_ *facts, w *workload, tell func(Finding)) {
		if w.platform != compose {
			return
		}
		need := w.needs()
		enough := w.grace.value >= w.timeout.value
		if !w.grace.said() {
			enough = w.grace.value >= need && w.worker != otherWorker
		}
		if !enough {
			tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("the worker is KILLed %s after TERM, and needs %s to give its jobs back", spell(w.grace.value), spell(max(need, 2*composeGrace))),
				Fix: fmt.Sprintf("stop_grace_period: %ds", wholeSeconds(max(need, 2*composeGrace))), Edit: w.grace.raise(max(need, 2*composeGrace))})
		}
	})(f, tell)
	f.calls(func(at Place, words []string) {
		if len(words) < 3 || words[0] != "docker" || words[1] != "run" || kindOf(words) != sidekiqWorker {
			return
		}
		if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--stop-timeout") }) {
			tell(Finding{At: at, Effect: "docker stop KILLs the worker after 10 s, before it gives its jobs back", Fix: "docker run --stop-timeout 30"})
		}
	})
}

func timeoutDoubtful(_ *facts, w *workload, tell func(Finding)) {
	for _, other := range w.others {
		if other.value != w.timeout.value {
			tell(Finding{At: other.at, Effect: fmt.Sprintf("%s here, and %s in %s:%d, which is what counts", spell(other.value), spell(w.timeout.value), w.timeout.at.File, w.timeout.at.Line),
				Fix: "leave one of them out"})
		}
	}
	if _, known := w.hook.bound(); w.platform == kubernetes && w.worker == sidekiqWorker && !w.timeout.said() && !known && w.grace.value > 0 && w.grace.value <= kubernetesGrace {
		tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("the hook takes an unknown part of %s, and Sidekiq's default timeout of 25 s all of the rest: nothing may be given back", spell(w.grace.value)),
			Fix: "terminationGracePeriodSeconds: 60"})
	}
}

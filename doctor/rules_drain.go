package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Rules about drains: where one is missing, and where one is not part of a stop.
var drainRules = []Rule{
	{"D39", Warn, "a drain outside of a stop, of a worker that is always restarted",
		"A drain ends the worker when nothing runs any more. Without a stop in progress, restart: always starts it again at once: it takes new jobs, which the stop that follows cuts.",
		"Drain inside the stop (preStop, or ebb init --stop), or restart: on-failure.", drainedInPlace},
	{"D50", Info, "jobs that are longer than a stop waits, and no drain",
		"What still runs when the worker's own timeout is over is given back, and starts again from its last checkpoint, or from nothing. A job that is longer than the time between two deploys never ends.",
		"A drain that waits: preStop ebb drain, ebb init --stop 'TSTP;idle<=1h;TERM;25s;KILL'; or checkpoints.", workers(startedAgain)},
}

func drainedInPlace(f *facts, tell func(Finding)) {
	f.calls(func(at Place, words []string) {
		container, inside := execInside(words)
		if len(inside) > 0 && endsWorker(inside) {
			if w := f.restarted(container); w != nil {
				tell(Finding{At: at, Workload: w.name, Effect: fmt.Sprintf("no stop is in progress: %s (%s:%d) starts the worker again at once, and it takes new jobs", w.restart.value, w.restart.at.File, w.restart.at.Line),
					Fix: "leave the drain to the stop (preStop, ebb init --stop), or restart: on-failure"})
			}
		}
	})
}

// execInside takes apart a command that runs another one inside a container that runs
// already: what comes before the words exec and after, options left out.
func execInside(words []string) (container, inside []string) {
	i := slices.Index(words, "exec")
	if i < 1 || !slices.Contains([]string{"docker", "podman", "docker-compose", "kubectl", "nerdctl"}, baseName(words[0])) {
		return nil, nil
	}
	kubectl := baseName(words[0]) == "kubectl"
	rest := words[i+1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		valued := slices.Contains([]string{"-e", "--env", "-u", "--user", "-w", "--workdir", "--index", "-n", "-c", "--namespace", "--container"}, rest[0])
		rest = rest[1:]
		if valued && len(rest) > 0 {
			rest = rest[1:]
		}
	}
	if len(rest) == 0 {
		return nil, nil
	}
	if dashes := slices.Index(rest, "--"); dashes >= 0 {
		return append([]string{words[0]}, rest[0]), rest[dashes+1:]
	}
	if kubectl {
		return nil, nil
	}
	return append([]string{words[0]}, rest[0]), rest[1:]
}

// endsWorker says that a command makes a worker end by itself: TERM, or a drain, which
// sends it when nothing runs.
func endsWorker(words []string) bool {
	h := hook{}
	var list []word
	for _, w := range words {
		list = append(list, word{value: w})
	}
	h.run(list)
	if _, drains := h.drain(); drains {
		return !slices.Contains(words, "--no-term")
	}
	return slices.Contains(h.sends(), "TERM")
}

// restarted is the worker in that container which its platform starts again whenever it
// ends. Of Kubernetes' pods the names are not known before they run; any will do.
func (f *facts) restarted(container []string) *workload {
	for _, w := range f.workloads {
		if !w.restart.at.known() || !w.isWorker() {
			continue
		}
		named := w.platform == compose && (container[1] == w.name || container[1] == w.container.value)
		if named || w.platform == kubernetes && baseName(container[0]) == "kubectl" {
			return w
		}
	}
	return nil
}

func startedAgain(f *facts, w *workload, tell func(Finding)) {
	if w.worker != ebbWorker || w.task != nil || w.drains() {
		return // ECS has a rule of its own
	}
	waits := w.timeout.value
	if !w.timeout.known() {
		waits = w.grace.value
	}
	for _, s := range f.settings {
		if s.kind == ebbWorker && waits > 0 && s.commands.value > waits && within(w.dir(), s.dir) {
			tell(Finding{At: s.commands.at, Effect: fmt.Sprintf("a job may take %s, and a stop waits %s: what is longer starts again after each deploy", spell(s.commands.value), spell(waits)),
				Fix: fmt.Sprintf("ebb drain -t %d before TERM, and a grace above that; or checkpoints", wholeSeconds(s.commands.value))})
		}
	}
}

// drains says that something waits until the worker is idle before TERM comes.
func (w *workload) drains() bool {
	if _, drains := w.hook.drain(); drains || w.hook != nil && w.hook.http {
		return true
	}
	if strings.Contains(strings.ToLower(w.sequence.value), "idle") {
		return true
	}
	return slices.ContainsFunc(w.chain, func(l layer) bool {
		return l.kind == initial && slices.ContainsFunc(values(l.words), func(s string) bool { return strings.Contains(s, "idle") })
	})
}

package doctor

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Rules about platforms that are neither Kubernetes nor ECS nor systemd.
var otherRules = []Rule{
	{"D46", Warn, "a kill_timeout of Nomad that is too short, or not granted",
		"Nomad KILLs after 5 s unless told otherwise, and no later than the client's max_kill_timeout, which is 30 s unless raised. Its exec drivers send INT, which not every worker takes for a stop.",
		"kill_timeout above the worker's timeout, max_kill_timeout above that, kill_signal = \"SIGTERM\".", workers(nomadCuts)},
	{"D47", Warn, "a worker timeout above the platform's grace",
		"Heroku KILLs after 30 s and Cloud Run after 10 s, which nobody can change; Fly after kill_timeout, 5 s unless set. A worker that waits longer for its jobs gives none of them back.",
		"-t at most the grace − 5 s.", workers(fixedGrace)},
	{"D48", Warn, "a Procfile line that needs a shell",
		"Heroku signals all processes, so that it mostly works there. In a container that is built from the same line the shell keeps TERM to itself.",
		"exec before the last command.", workers(procfileShell)},
}

func nomadCuts(f *facts, w *workload, tell func(Finding)) {
	if w.platform != nomad {
		return
	}
	limit := cmp.Or(f.maxKill, nomadMost)
	need := max(w.needs(), nomadMost)
	switch {
	case w.grace.said() && w.grace.value > limit:
		tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("a client grants %s at most unless its max_kill_timeout is raised: KILL comes then", spell(limit)), Fix: fmt.Sprintf("max_kill_timeout = %q", w.grace.value)})
	case !w.grace.said() && (w.timeout.value > nomadGrace || w.worker == otherWorker):
		tell(Finding{At: w.grace.at, Effect: "KILL comes 5 s after the signal, before jobs are given back", Fix: fmt.Sprintf("kill_timeout = %q", need)})
	case w.grace.value < w.timeout.value:
		tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("KILL comes after %s, and the worker takes up to %s to give its jobs back", spell(w.grace.value), spell(w.timeout.value)), Fix: fmt.Sprintf("kill_timeout = %q", need), Edit: w.grace.raise(need)})
	}
	if w.worker == otherWorker && w.stopSignal.value == "" && (w.driver == "exec" || w.driver == "raw_exec") {
		tell(Finding{At: w.at, Effect: w.driver + " sends INT, which this worker may not take for a stop", Fix: `kill_signal = "SIGTERM"`})
	}
}

// fixedBy is who decides on the grace.
var fixedBy = map[platformName]string{procfile: "Heroku", cloudRun: "Cloud Run", fly: "Fly"}

func fixedGrace(_ *facts, w *workload, tell func(Finding)) {
	by, ok := fixedBy[w.platform]
	if !ok || w.timeout.value < w.grace.value || !w.timeout.known() {
		return
	}
	fix := fmt.Sprintf("-t %d", int(max(w.grace.value-margin, time.Second)/time.Second))
	at, edit := w.timeout.at, Edit{}
	if w.platform == fly {
		fix, at = fmt.Sprintf("kill_timeout = %d", wholeSeconds(w.timeout.value+margin)), w.grace.at
		edit = w.grace.raise(w.timeout.value + margin)
	}
	tell(Finding{At: at, Effect: fmt.Sprintf("%s KILLs after %s, before the worker's %s are over: nothing is given back", by, spell(w.grace.value), spell(w.timeout.value)), Fix: fix, Edit: edit})
}

func procfileShell(_ *facts, w *workload, tell func(Finding)) {
	if w.platform != procfile || len(w.chain) == 0 || w.chain[0].kind != shell {
		return
	}
	l := w.chain[0]
	if l.path.exec || len(l.path.words) == 0 || l.path.single && l.path.tail && !l.path.nested && !strings.ContainsAny(l.text, "&;|") {
		return
	}
	fix := "exec " + strings.Join(values(l.path.words), " ")
	if l.path.tail && l.path.piped == "" {
		fix = l.path.withExec(l.text)
	}
	tell(Finding{At: l.at, Effect: "in a container that is built from this line the shell keeps TERM to itself, and jobs are KILLed at the end of the grace", Fix: w.name + ": " + fix, Edit: l.replaceShell()})
}

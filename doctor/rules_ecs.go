package doctor

import (
	"fmt"
	"slices"
)

// Rules about Amazon ECS.
var ecsRules = []Rule{
	{"D34", Error, "a stopTimeout that Fargate does not grant",
		"120 s is the most there is on Fargate. Whoever counts on more loses what runs after that.",
		"stopTimeout: 120, and scale-in protection for longer jobs.", tasks(stopTimeoutTooLong)},
	{"D35", Warn, "no stopTimeout",
		"ECS KILLs 30 s after TERM unless told otherwise, which leaves a worker with a timeout of 25 s next to nothing.",
		"stopTimeout: 60, or what the worker needs.", tasks(noStopTimeout)},
	{"D36", Warn, "jobs longer than stopTimeout without scale-in protection",
		"Every deploy and every scale-in ends tasks after stopTimeout, however long their jobs are.",
		"Scale-in protection while busy; the task's role needs ecs:UpdateTaskProtection.", tasks(unprotected)},
	{"D37", Warn, "a stop signal that an old Fargate does not send",
		"Before platform 1.4 with its change of December 2025, Fargate sent TERM whatever STOPSIGNAL said.",
		"Handle TERM as well, and leave the platform's version at LATEST.", tasks(signalIgnored)},
}

func tasks(check func(*facts, *workload, func(Finding))) func(*facts, func(Finding)) {
	return workers(func(f *facts, w *workload, tell func(Finding)) {
		if w.task != nil {
			check(f, w, tell)
		}
	})
}

func stopTimeoutTooLong(_ *facts, w *workload, tell func(Finding)) {
	if w.task.fargate && w.grace.said() && w.grace.value > fargateMost {
		tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("Fargate grants 120 s at most: what counts on %s is cut", spell(w.grace.value)), Fix: `"stopTimeout": 120`})
	}
}

func noStopTimeout(_ *facts, w *workload, tell func(Finding)) {
	if !w.grace.said() && w.timeout.value >= sidekiqTERM {
		tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("KILL comes 30 s after TERM, and the worker takes up to %s to give its jobs back", spell(w.timeout.value)),
			Fix: fmt.Sprintf(`"stopTimeout": %d`, min(120, max(60, wholeSeconds(w.timeout.value+margin))))})
	}
}

func unprotected(f *facts, w *workload, tell func(Finding)) {
	if w.task.service == nil || w.task.protected {
		return
	}
	for _, s := range f.settings {
		if s.kind == w.worker && s.commands.value > w.grace.value && within(w.dir(), s.dir) {
			tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("jobs may take %s (%s:%d), and every deploy or scale-in ends the task after %s", spell(s.commands.value), s.commands.at.File, s.commands.at.Line, spell(w.grace.value)),
				Fix: "Action: [ecs:GetTaskProtection, ecs:UpdateTaskProtection] in the task's role"})
		}
	}
}

func signalIgnored(_ *facts, w *workload, tell func(Finding)) {
	s := w.task.service
	if s == nil || !w.task.fargate || !slices.Contains([]string{"1.0.0", "1.1.0", "1.2.0", "1.3.0"}, s.version.value) {
		return
	}
	if name := signalName(w.stopSignal.value); name != "" && name != "TERM" {
		tell(Finding{At: s.version.at, Effect: "Fargate " + s.version.value + " sends TERM, whatever STOPSIGNAL says: a worker that only knows " + name + " is cut", Fix: "PlatformVersion: LATEST"})
	}
}

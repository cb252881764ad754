package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Rules about systemd's units.
var systemdRules = []Rule{
	{"D40", Error, "a unit that leaves processes behind",
		"With KillMode=process or none, or SendSIGKILL=no, a stop ends without the worker's children, or never: they run on beside the new version, or hang the restart.",
		"KillMode=mixed, or leave it at control-group.", units(leavesBehind)},
	{"D41", Warn, "KillMode=mixed around a worker that forks",
		"Only the main process gets TERM. As soon as it has ended, systemd KILLs all the others, also those that still run jobs.",
		"KillMode=control-group, or a main process that waits for its children.", units(mixedForks)},
	{"D42", Warn, "KillMode=control-group around jobs that run commands",
		"Every process of the unit gets TERM at the same moment: the command of a job ends although its worker would have let it finish.",
		"KillMode=mixed.", units(commandsGetTERM)},
	{"D43", Error, "a unit whose stop is too short, or does not wait",
		"KILL comes at TimeoutStopSec, also to a worker that is still giving its jobs back. An ExecStop that only sends a signal is over at once, and TERM follows.",
		"TimeoutStopSec above the worker's timeout; a drain that waits as ExecStop.", units(stopTooShort)},
	{"D44", Warn, "Type=notify behind a wrapper",
		"systemd listens to the main process alone, which is the wrapper. READY and EXTEND_TIMEOUT_USEC of the worker are ignored, and the stop is cut.",
		"NotifyAccess=all, or exec.", units(notHeard)},
	{"D45", Warn, "ExecStart through a shell, or a container in the background",
		"The main process is the shell or docker's client: it ends at TERM by itself, and the worker's end is nobody's.",
		"exec; docker run in the foreground with docker stop -t as ExecStop.", units(throughShell)},
}

func units(check func(*facts, *workload, func(Finding))) func(*facts, func(Finding)) {
	return workers(func(f *facts, w *workload, tell func(Finding)) {
		if w.unit != nil {
			check(f, w, tell)
		}
	})
}

func leavesBehind(_ *facts, w *workload, tell func(Finding)) {
	if mode := w.unit.last["KillMode"]; mode.value == "process" || mode.value == "none" {
		tell(Finding{At: mode.at, Effect: "what the worker has started runs on after the stop, beside the next version", Fix: "KillMode=mixed"})
	}
	if send := w.unit.last["SendSIGKILL"]; send.value == "no" || send.value == "false" || send.value == "0" {
		tell(Finding{At: send.at, Effect: "a worker that does not end is left running, and the next version starts beside it", Fix: "SendSIGKILL=yes"})
	}
}

func mixedForks(_ *facts, w *workload, tell func(Finding)) {
	if w.unit.last["KillMode"].value != "mixed" {
		return
	}
	for _, l := range w.chain {
		if slices.ContainsFunc(l.words, func(w word) bool {
			return baseName(w.value) == "sidekiqswarm" || strings.HasPrefix(w.value, "resque:work")
		}) {
			tell(Finding{At: w.unit.last["KillMode"].at, Effect: "the worker's children are KILLed with their jobs as soon as the parent has ended", Fix: "KillMode=control-group"})
			return
		}
	}
}

func commandsGetTERM(f *facts, w *workload, tell func(Finding)) {
	if !w.everyone {
		return
	}
	if by := f.spawnsOf(w); by.value != "" {
		tell(Finding{At: w.unit.last["KillMode"].orAt(w.at), Effect: fmt.Sprintf("jobs run commands (%s, %s:%d), which get TERM at second 0 while the worker would let them finish", by.value, by.at.File, by.at.Line), Fix: "KillMode=mixed"})
	}
}

func stopTooShort(_ *facts, w *workload, tell func(Finding)) {
	if need := w.timeout.value; w.grace.value < need {
		tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("KILL comes after %s, and the worker takes up to %s to give its jobs back", spell(w.grace.value), spell(need)),
			Fix: fmt.Sprintf("TimeoutStopSec=%d", wholeSeconds(need+margin)), Edit: w.grace.raise(need + margin)})
	}
	if w.hook == nil {
		return
	}
	if most, drains := w.hook.drain(); drains && most >= w.grace.value {
		tell(Finding{At: w.hook.at, Effect: fmt.Sprintf("the drain may take %s, and is cut at %s", spell(most), spell(w.grace.value)), Fix: fmt.Sprintf("TimeoutStopSec=%d", wholeSeconds(most+margin)), Edit: w.grace.raise(most + margin)})
	} else if !drains && !w.hook.waits() && len(w.hook.calls()) > 0 && slices.ContainsFunc(w.hook.sends(), func(s string) bool { return s == "TSTP" || s == "USR1" }) {
		tell(Finding{At: w.hook.at, Effect: "ExecStop sends its signal and is over: TERM follows at once, and nothing was waited for", Fix: "ExecStop=/usr/local/bin/ebb drain -t 60"})
	}
}

func notHeard(_ *facts, w *workload, tell func(Finding)) {
	kind := w.unit.last["Type"]
	access := w.unit.last["NotifyAccess"].value
	if !strings.HasPrefix(kind.value, "notify") || access == "all" || access == "exec" {
		return
	}
	for _, l := range w.chain {
		_, holds := holding[l.name]
		stays := l.kind == wrapper && holds || l.name == "rvm" || l.name == "rbenv" || l.name == "sudo"
		if l.kind == shell || l.kind == scripted {
			stays = len(l.path.words) > 0 && !l.path.exec
		}
		if stays {
			tell(Finding{At: kind.at, Effect: l.name + " is the main process, so READY and EXTEND_TIMEOUT_USEC of the worker are not heard", Fix: "NotifyAccess=all"})
			return
		}
	}
}

func throughShell(_ *facts, w *workload, tell func(Finding)) {
	for _, l := range w.chain {
		_, holds := holding[l.name]
		stays := l.kind == shell || !w.everyone && (l.kind == scripted || l.kind == wrapper && holds && l.name != "flock")
		if stays && !l.path.exec && (l.kind == wrapper || len(l.path.words) > 0) {
			effect := " is the main process and ends at TERM by itself: the worker's own end and exit status are nobody's"
			if !w.everyone {
				effect = " is the main process: TERM ends there, and systemd KILLs the worker with its jobs as soon as it is gone"
			}
			fix := "ExecStart=… the worker's program itself"
			if len(l.path.words) > 0 {
				fix = "exec " + strings.Join(values(l.path.words), " ")
			}
			tell(Finding{At: l.at, Effect: l.name + effect, Fix: fix, Edit: l.replaceShell()})
			return
		}
	}
	words := values(w.entry.words)
	if len(words) < 2 || baseName(words[0]) != "docker" && baseName(words[0]) != "podman" || words[1] != "run" {
		return
	}
	if slices.ContainsFunc(words, func(s string) bool { return s == "-d" || s == "--detach" || s == "--sig-proxy=false" }) {
		tell(Finding{At: w.at, Effect: "the unit's main process is docker's client and not the worker: TERM stops there", Fix: "docker run without -d, and ExecStop=docker stop -t 60 NAME"})
	}
}

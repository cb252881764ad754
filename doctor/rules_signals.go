package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Rules about which signal comes.
var signalRules = []Rule{
	{"D17", Warn, "a stop signal that the worker does not know",
		"A signal without a handler kills at once, or is ignored by PID 1: no job is given the time to end.",
		"TERM.", workers(unknownSignal)},
	{"D18", Error, "KILL or STOP as the stop signal",
		"Nothing can hear KILL, and STOP freezes: there is no grace at all, and every running job is lost.",
		"TERM.", each(noGrace)},
	{"D19", Warn, "a quiet signal as the stop signal",
		"The worker goes quiet and stays. It is KILLed at the end of every stop, however little it has to do.",
		"TERM as the stop signal; quiet in a preStop hook, such as ebb drain.", workers(quietForever)},
	{"D20", Error, "USR1 to Sidekiq 5 or newer",
		"Sidekiq has no handler for USR1 since version 5: it dies at once (exit 138), and its jobs are lost.",
		"TSTP.", workers(oldQuiet)},
	{"D21", Warn, "TTIN to quiet",
		"TTIN prints where the threads are. Fetching goes on, and the stop finds the worker as busy as before.",
		"TSTP.", workers(dumpedNotQuieted)},
}

func unknownSignal(_ *facts, w *workload, tell func(Finding)) {
	if s := signalName(w.stopSignal.value); w.worker != otherWorker && slices.Contains([]string{"HUP", "QUIT", "USR2", "PIPE", "ALRM"}, s) {
		tell(Finding{At: w.stopSignal.at, Effect: fmt.Sprintf("%s has no handler for %s: it dies of it at once with its jobs, or never hears of the stop", w.worker, s), Fix: "SIGTERM", Edit: w.terminate()})
	}
	for _, l := range w.chain {
		if to, rewritten := l.init.rewrites["TERM"]; rewritten && l.kind == initial && to != "TERM" && to != "INT" {
			tell(Finding{At: l.at, Effect: fmt.Sprintf("%s turns TERM into %s, which the worker does not know: jobs are cut at once, or at the end of the grace", l.name, to), Fix: "leave -r 15:… out"})
		}
	}
}

func noGrace(_ *facts, w *workload, tell func(Finding)) {
	if sent := w.sequenced(); len(sent) > 0 && sent[0] == "KILL" {
		tell(Finding{At: w.sequence.at, Effect: "every stop begins with KILL: running jobs are lost at once", Fix: "tstp, 120, term, 30, kill"})
	}
	if s := signalName(w.stopSignal.value); s == "KILL" || s == "STOP" {
		tell(Finding{At: w.stopSignal.at, Effect: "every stop begins with " + s + ": running jobs are lost at once", Fix: "SIGTERM", Edit: w.terminate()})
	}
}

func quietForever(_ *facts, w *workload, tell func(Finding)) {
	if s := signalName(w.stopSignal.value); s == "TSTP" || s == "USR1" || s == "TTIN" {
		tell(Finding{At: w.stopSignal.at, Effect: s + " does not end the worker: it is KILLed at the end of every stop", Fix: "SIGTERM", Edit: w.terminate()})
	}
}

func oldQuiet(f *facts, w *workload, tell func(Finding)) {
	at, sent := w.quieting()
	if w.worker != sidekiqWorker && w.platform != cloud66 || !slices.Contains(sent, "USR1") || f.sidekiqMajor(w) > 0 && f.sidekiqMajor(w) < 5 {
		return
	}
	found := Finding{At: at, Effect: "USR1 kills Sidekiq at once (exit 138): running jobs are lost", Fix: "kill -TSTP", Edit: w.quietRight()}
	if f.sidekiqMajor(w) == 0 {
		found.Severity, found.Edit, found.Effect = Warn, Edit{}, "USR1 kills Sidekiq from version 5 on at once (exit 138): running jobs are lost"
	}
	tell(found)
}

func dumpedNotQuieted(_ *facts, w *workload, tell func(Finding)) {
	if at, sent := w.quieting(); slices.Contains(sent, "TTIN") {
		tell(Finding{At: at, Effect: "TTIN only prints backtraces: the worker goes on fetching until TERM", Fix: "kill -TSTP"})
	}
}

var usr1 = regexp.MustCompile(`(?i)\b(SIG)?USR1\b`)

// quietRight makes the one USR1 that is sent TSTP.
func (w *workload) quietRight() Edit {
	sent := w.sequence
	if w.hook != nil {
		sent = w.hook.text
	}
	found := usr1.FindAllString(sent.value, -1)
	if len(found) != 1 {
		return Edit{}
	}
	return Edit{sent.at, found[0], strings.NewReplacer("USR1", "TSTP", "usr1", "tstp").Replace(found[0])}
}

// quieting are the signals that come before or instead of the stop signal, and who
// sends them.
func (w *workload) quieting() (at Place, signals []string) {
	if w.hook != nil {
		return w.hook.text.at, w.hook.sends()
	}
	return w.sequence.at, w.sequenced()
}

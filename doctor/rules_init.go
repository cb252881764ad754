package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Rules about what is PID 1.
var initRules = []Rule{
	{"D11", Warn, "no init where jobs start programs",
		"What a job's program leaves behind becomes a zombie below PID 1 until the pids limit is reached; and when the worker ends, the kernel KILLs what still runs, without a TERM.",
		"ebb init.", each(noInit)},
	{"D12", Error, "an init in front of a shell that stays",
		"Every init but ebb's ends when its direct child has ended. A shell that is not PID 1 dies of TERM at once; the init follows, and the kernel KILLs the worker 0.2 s after TERM instead of after the grace.",
		"exec in the shell or script, or ebb init.", each(initBeforeShell)},
	{"D13", Warn, "tini that is not PID 1",
		"Where another process is PID 1, orphans go to that one: tini reaps nothing unless it is a subreaper.",
		"tini -s, or TINI_SUBREAPER, or make it PID 1.", each(notFirst)},
	{"D14", Error, "tini without --",
		"tini takes options of the command for its own and ends with 1 at the start.",
		"-- before the command.", each(noDashes)},
	{"D15", Warn, "an init and its options in one word",
		"An array's element is one word, and no program has that name; in quotes outside of an array it is the shell form.",
		"One element for each word.", each(oneWord)},
	{"D16", Error, "TSTP through dumb-init",
		"dumb-init turns TSTP into STOP for all that is below it. The worker is frozen instead of quieted, hears no TERM, and is KILLed with its jobs.",
		"ebb init, tini, or dumb-init -r 20:20.", each(frozen)},
}

func noInit(f *facts, w *workload, tell func(Finding)) {
	if w.everyone || w.unit != nil || len(w.chain) == 0 || slices.ContainsFunc(w.chain, func(l layer) bool { return l.kind == initial }) {
		return
	}
	by := f.spawnsOf(w)
	if by.value == "" || quotedInit(w.chain[0].text) != "" {
		return
	}
	words, _ := w.effective()
	tell(Finding{At: w.chain[0].at, Effect: fmt.Sprintf("jobs start programs (%s, %s:%d) and nobody reaps what those leave; they are KILLed without TERM when the worker ends", by.value, by.at.File, by.at.Line),
		Fix: array(append([]string{"ebb", "init", "--"}, values(words)...)...)})
}

func initBeforeShell(_ *facts, w *workload, tell func(Finding)) {
	w.layers(func(l layer, behind *layer) {
		if behind == nil || behind.init.ours || len(l.path.words) == 0 || managesPipe(l.path) || l.path.trapped {
			return
		}
		stays := l.kind == scripted && !l.path.exec
		if l.kind == shell {
			replaced, accident := l.path.replaces(l.shell)
			stays = !replaced && !accident
		}
		if stays {
			fix := `exec "$@"`
			if l.kind == shell {
				fix = w.paste(l)
			}
			tell(Finding{At: l.at, Effect: l.name + " dies of TERM at once and " + behind.name + " with it: jobs are KILLed 0.2 s after TERM, with no grace at all", Fix: fix, Edit: l.replaceShell()})
		}
	})
}

func isTini(l layer) bool { return strings.Contains(l.name, "tini") || l.name == "docker-init" }

func notFirst(_ *facts, w *workload, tell func(Finding)) {
	for i, l := range w.chain {
		if l.kind != initial || !isTini(l) || l.init.subreaper || l.init.platforms {
			continue
		}
		below := i > 0 && slices.ContainsFunc(w.chain[:i], func(over layer) bool {
			return over.kind == initial || (over.kind == shell || over.kind == scripted) && !over.path.exec
		})
		if w.sharesPIDs.known() || below {
			tell(Finding{At: l.at, Effect: "tini is not PID 1 here and no subreaper: what jobs leave behind is not reaped", Fix: "tini -s --"})
		}
	}
}

func noDashes(_ *facts, w *workload, tell func(Finding)) {
	for _, l := range w.chain {
		if l.kind != initial || !isTini(l) || l.init.dashes || l.init.unfinished {
			continue
		}
		i := slices.IndexFunc(l.words[1:], func(w word) bool { return !strings.HasPrefix(w.value, "-") })
		if i < 0 {
			continue
		}
		rest := l.words[i+1:]
		if slices.ContainsFunc(rest, func(w word) bool { return len(w.value) > 1 && w.value[0] == '-' }) {
			fixed := slices.Insert(values(l.words), i+1, "--")
			tell(Finding{At: l.at, Effect: "tini takes the command's options for its own and exits with 1: the worker does not start", Fix: array(fixed...)})
		}
	}
}

// quotedInit is an init that stands with more in one word, as the author wrote it.
func quotedInit(raw string) string {
	if len(raw) < 2 || raw[0] != '"' && raw[0] != '\'' {
		return ""
	}
	inside, _, _ := strings.Cut(raw[1:], raw[:1])
	if name, more, _ := strings.Cut(inside, " "); more != "" && slices.Contains(inits, baseName(name)) {
		return inside
	}
	return ""
}

func oneWord(_ *facts, w *workload, tell func(Finding)) {
	for _, l := range w.chain {
		inside := ""
		if name, more, _ := strings.Cut(l.words0(), " "); more != "" && slices.Contains(inits, baseName(name)) {
			inside = l.words0()
		}
		if l.form && inside == "" {
			inside = quotedInit(strings.TrimSpace(l.text))
		}
		if inside == "" {
			continue
		}
		words := strings.Fields(inside)
		if len(l.words) > 1 && !l.form {
			words = append(words, values(l.words[1:])...)
		}
		tell(Finding{At: l.at, Effect: "no program is called " + `"` + inside + `"` + ": the container does not start, or a shell swallows TERM", Fix: array(words...)})
		return
	}
}

func (l layer) words0() string {
	if len(l.words) == 0 {
		return ""
	}
	return l.words[0].value
}

func frozen(_ *facts, w *workload, tell func(Finding)) {
	for _, l := range w.chain {
		if l.name != "dumb-init" || l.init.single || l.init.rewrites["TSTP"] == "TSTP" {
			continue
		}
		if source := w.quietsBy(); source != "" {
			tell(Finding{At: l.at, Effect: "dumb-init turns the TSTP of " + source + " into STOP: the worker is frozen, hears no TERM and is KILLed", Fix: `dumb-init -r 20:20 --`})
		}
	}
}

// quietsBy is who sends the workload TSTP, "" if nobody does.
func (w *workload) quietsBy() string {
	if w.hook != nil {
		if _, drains := w.hook.drain(); drains || slices.Contains(w.hook.sends(), "TSTP") {
			return "its preStop hook"
		}
	}
	if signalName(w.stopSignal.value) == "TSTP" {
		return "its stop signal"
	}
	if slices.Contains(w.sequenced(), "TSTP") {
		return "its stop sequence"
	}
	return ""
}

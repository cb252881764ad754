package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rules about what stands between PID 1 and the worker.
var commandRules = []Rule{
	{"D01", Error, "CMD or ENTRYPOINT in shell form",
		"The builder puts /bin/sh -c in front. Debian's shell stays PID 1 and ignores TERM, so the worker never hears of the stop and is KILLed when the grace is over, with all its jobs. Shells of Alpine and Red Hat images step aside for one simple command, by accident.",
		"Write the command as a JSON array, or put exec in front of it.", each(shellForm)},
	{"D02", Error, "sh -c that stays in front of the worker",
		"A shell whose last command does not begin with exec stays PID 1, where it ignores TERM. The worker is KILLed when the grace is over.",
		"Put exec before the last command, and nothing after it.", each(shellStays)},
	{"D03", Error, "an array that is no JSON",
		"Single quotes or a comma too many make the builder take the array for a text, without an error: it becomes /bin/sh -c, which does not start, or swallows TERM.",
		"Double quotes, and no comma after the last word.", each(brokenArray)},
	{"D04", Error, "an entrypoint script without exec",
		"The script stays PID 1 and ignores TERM while the worker runs below it. The worker is KILLed when the grace is over.",
		`End the script with exec "$@".`, each(scriptStays)},
	{"D05", Error, "a trap and only one wait",
		"The shell's wait returns as soon as the trap has run. The script ends, and what it was to wait for is KILLed in the middle of its jobs.",
		`Wait twice, or better: exec "$@", behind an init.`, each(oneWait)},
	{"D06", Error, "a trap above a foreground command",
		"A shell runs a trap only when the command in the foreground has ended. TERM is heard by nobody, and KILL ends both.",
		`exec "$@", or start the command in the background and wait twice.`, each(trapAbove)},
	{"D07", Error, "a package manager as the worker's parent",
		"npm and its kin pass TERM to a shell of theirs, which dies; the manager then ends as well, and the worker is KILLed at once.",
		"Start the program itself, such as node worker.js.", each(packageManager)},
	{"D08", Warn, "a process manager in a container",
		"It kills what it manages by a timer of its own (foreman after 5 s, supervisord after 10 s), however long the platform's grace is.",
		"One process for each container, or raise the manager's own timer.", each(processManager)},
	{"D09", Error, "su or runuser around the worker",
		"They send TERM to their child and KILL 2 s later, whatever grace there is; through su's own shell the worker does not even hear of TERM.",
		"USER in the Dockerfile, runAsUser, setpriv or gosu.", each(otherUser)},
	{"D10", Error, "a program that keeps TERM to itself",
		"A pipe, time, xargs, script and flock stay in front of the worker, and do not pass TERM on.",
		"Log to standard output; flock -F; exec.", each(keepsTERM)},
}

// layers calls visit for each layer, with whether an init of somebody else, or ebb's, is before it.
func (w *workload) layers(visit func(l layer, behind *layer)) {
	var behind *layer
	for i, l := range w.chain {
		visit(l, behind)
		if l.kind == initial {
			behind = &w.chain[i]
		}
	}
}

// waitsForAll says that an init of ebb's is in front: it signals what is below a shell
// and stays until the last one has ended.
func waitsForAll(behind *layer) bool { return behind != nil && behind.init.ours }

// throughPID1 says that the signal goes to the first process alone, which is PID 1 of
// a container, and has to be passed on by it.
func (w *workload) throughPID1() bool { return !w.everyone && w.unit == nil }

// atEnd is what happens to jobs that do not hear of a stop.
func (w *workload) atEnd() string {
	if w.grace.known() {
		return "jobs are KILLed after " + spell(w.grace.value)
	}
	return "jobs are KILLed when the grace is over"
}

// stuck visits the layers of a workload that are a shell's text which stays in front of
// the worker, with no init before it that changes what comes of that.
func (w *workload) stuck(visit func(l layer, severity Severity)) {
	if !w.throughPID1() {
		return
	}
	w.layers(func(l layer, behind *layer) {
		if l.kind != shell || behind != nil || len(l.path.words) == 0 || managesPipe(l.path) {
			return
		}
		if l.path.trapped && !l.path.exec {
			return // what becomes of a trap is for others to say
		}
		replaced, accident := l.path.replaces(l.shell)
		switch {
		case replaced:
		case accident:
			visit(l, Warn)
		default:
			visit(l, Error)
		}
	})
}

func shellForm(_ *facts, w *workload, tell func(Finding)) {
	w.stuck(func(l layer, severity Severity) {
		if !l.form || misread(w, l) {
			return
		}
		effect := "the command is a shell: TERM ends at sh, " + w.atEnd()
		if l.shell == noShell {
			effect = "the image has no shell, and the shell form needs one: it does not start"
		} else if severity == Warn {
			effect = fmt.Sprintf("the command reaches TERM only because %s steps aside for it; with another base image %s", l.shell, w.atEnd())
		}
		paste := w.paste(l)
		found := Finding{At: l.at, Severity: severity, Effect: effect, Fix: w.instruction(l) + " " + paste}
		if w.image != nil && w.image.shell == nil && (l.path.replaceShell(l.at) != Edit{}) {
			found.Edit = Edit{l.at, l.text, paste}
		}
		tell(found)
	})
}

// instruction is the one that a shell form stands in.
func (w *workload) instruction(l layer) string {
	if w.image != nil && w.image.entrypoint != nil && w.image.entrypoint.at == l.at {
		return "ENTRYPOINT"
	}
	return "CMD"
}

// paste is the command that should stand instead of a shell.
func (w *workload) paste(l layer) string {
	takesWords := w.instruction(l) == "CMD" || w.image.cmd == nil && w.args == nil // else they would be the program's arguments
	if l.path.tail && l.path.single && !l.path.nested && !l.path.assigns && takesWords && len(l.path.words) > 0 && !slices.ContainsFunc(values(l.path.words), forShell) {
		return array(values(l.path.words)...)
	}
	if l.path.tail && !l.path.behind && !l.path.nested {
		return array("sh", "-c", l.path.withExec(l.text))
	}
	return array("ebb", "init", "--", "sh", "-c", l.text)
}

// forShell says that a word means something else without a shell.
func forShell(word string) bool { return strings.ContainsAny(word, "$…*?[~{") }

// withExec is the text with exec before the program.
func (p shellPath) withExec(source string) string {
	if p.offset > len(source) || p.exec {
		return source
	}
	return source[:p.offset] + "exec " + source[p.offset:]
}

func shellStays(_ *facts, w *workload, tell func(Finding)) {
	w.stuck(func(l layer, severity Severity) {
		if l.form {
			return
		}
		effect := fmt.Sprintf("%s stays in front of %s: TERM ends there, %s", l.name, baseName(l.path.words[0].value), w.atEnd())
		if severity == Warn {
			effect = fmt.Sprintf("%s gets TERM only because %s steps aside for it; with another shell %s", baseName(l.path.words[0].value), l.shell, w.atEnd())
		}
		tell(Finding{At: l.at, Severity: severity, Effect: effect, Fix: w.paste(l), Edit: l.replaceShell()})
	})
}

// misread says that a shell form was meant to be something else.
func misread(w *workload, l layer) bool {
	raw := strings.TrimSpace(l.text)
	return strings.HasPrefix(raw, "[") || quotedInit(raw) != ""
}

func brokenArray(_ *facts, w *workload, tell func(Finding)) {
	if w.image == nil {
		return
	}
	for _, c := range []*command{w.image.entrypoint, w.image.cmd} {
		if c == nil || !c.shellForm || !strings.HasPrefix(strings.TrimSpace(c.raw), "[") || w.entry != nil || w.args != nil && c == w.image.cmd {
			continue
		}
		words := strings.FieldsFunc(strings.Trim(strings.TrimSpace(c.raw), "[]"), func(r rune) bool { return r == ',' })
		for i, word := range words {
			words[i] = strings.Trim(strings.TrimSpace(word), `'"`)
		}
		words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
		tell(Finding{At: c.at, Effect: "this is no JSON, so it is given to /bin/sh -c as a text: it does not start, or swallows TERM", Fix: array(words...)})
	}
}

// staying visits scripts and texts that stay in front of the worker, with no ebb init before them.
func (w *workload) staying(visit func(l layer, behind *layer)) {
	if !w.throughPID1() {
		return
	}
	w.layers(func(l layer, behind *layer) {
		if (l.kind == scripted || l.kind == shell) && len(l.path.words) > 0 && !l.path.exec && !managesPipe(l.path) {
			visit(l, behind)
		}
	})
}

func scriptStays(_ *facts, w *workload, tell func(Finding)) {
	w.staying(func(l layer, behind *layer) {
		if l.kind != scripted || l.path.trapped || behind != nil {
			return
		}
		what := strings.Join(values(l.path.words), " ")
		if l.path.args {
			what = `"$@"`
		}
		tell(Finding{At: l.at, Effect: fmt.Sprintf("%s stays PID 1 and ignores TERM: %s", path.Base(l.at.File), w.atEnd()), Fix: "exec " + what, Edit: l.replaceShell()})
	})
}

func oneWait(_ *facts, w *workload, tell func(Finding)) {
	w.staying(func(l layer, behind *layer) {
		if l.path.trapped && l.path.behind && l.path.waits == 1 && !waitsForAll(behind) {
			tell(Finding{At: l.at, Effect: "wait returns when the trap has run, the script ends, and jobs are KILLed a moment after TERM", Fix: `trap 'kill -TERM "$pid"; wait "$pid"' TERM`})
		}
	})
}

func trapAbove(_ *facts, w *workload, tell func(Finding)) {
	w.staying(func(l layer, _ *layer) {
		if l.path.trapped && !l.path.behind {
			tell(Finding{At: l.at, Effect: "the trap runs only after " + baseName(l.path.words[0].value) + " has ended, which nobody asks it to: " + w.atEnd(), Fix: `exec "$@"`})
		}
	})
}

func (w *workload) wrapped(by []string, visit func(l layer, behind *layer)) {
	w.layers(func(l layer, behind *layer) {
		if l.kind == wrapper && slices.Contains(by, l.name) {
			visit(l, behind)
		}
	})
}

func packageManager(_ *facts, w *workload, tell func(Finding)) {
	w.wrapped([]string{"npm", "yarn", "pnpm", "npx"}, func(l layer, behind *layer) {
		if !waitsForAll(behind) && w.throughPID1() {
			tell(Finding{At: l.at, Effect: l.name + " does not pass TERM on to the worker, and ends without waiting for it: jobs are KILLed within a second",
				Fix: "start what the script starts, such as " + array("node", "worker.js")})
		}
	})
}

func processManager(_ *facts, w *workload, tell func(Finding)) {
	w.wrapped(managers, func(l layer, _ *layer) {
		tell(Finding{At: l.at, Effect: l.name + " kills its processes by a timer of its own: jobs are KILLed within seconds of TERM", Fix: "one container for each process, and no manager in it"})
	})
}

func otherUser(_ *facts, w *workload, tell func(Finding)) {
	w.wrapped([]string{"su", "runuser"}, func(l layer, _ *layer) {
		tell(Finding{At: l.at, Effect: l.name + " KILLs the worker 2 s after TERM, whatever the grace is", Fix: "USER app, or setpriv --reuid app --regid app --init-groups COMMAND"})
	})
}

// managesPipe says that the worker's output goes through a pipe, or that time
// measures it: no exec can help there.
func managesPipe(p shellPath) bool { return p.piped != "" || p.timed }

func keepsTERM(_ *facts, w *workload, tell func(Finding)) {
	report := func(at Place, name, fix string) {
		tell(Finding{At: at, Effect: name + " stays in front of the worker and does not pass TERM on: " + w.atEnd(), Fix: fix})
	}
	w.layers(func(l layer, behind *layer) {
		switch {
		case !w.throughPID1(), waitsForAll(behind) && l.name != "script" && l.path.piped == "":
		case (l.kind == shell || l.kind == scripted) && managesPipe(l.path):
			name := "the shell before a pipe to " + l.path.piped
			if l.path.timed {
				name = "time"
			}
			report(l.at, name, "log to standard output: exec "+strings.Join(values(l.path.words), " "))
		case l.kind != wrapper:
		case l.name == "flock" && !slices.ContainsFunc(l.words, func(w word) bool { return w.value == "-F" || w.value == "--no-fork" }):
			report(l.at, l.name, "flock -F")
		case l.name == "xargs" || l.name == "time" || l.name == "script":
			report(l.at, l.name, "leave it out")
		}
	})
}

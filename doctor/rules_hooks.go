package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rules about what Kubernetes runs beside the worker: hooks, probes, sidecars.
var hookRules = []Rule{
	{"D26", Warn, "a liveness probe that a busy or draining worker fails",
		"A probe that asks for readiness, for a queue's latency, or starts Ruby within a second fails exactly when there is much to do. The kubelet then kills a healthy worker.",
		"Liveness: does the process answer at all. Everything else is for the readiness probe.", workers(nervousProbe)},
	{"D27", Warn, "a hook that the image cannot run",
		"A hook whose program is missing fails in silence, apart from an event. TERM follows at once, and nothing was drained.",
		"ebb drain as a static binary, or httpGet.", pods(hookCannotRun)},
	{"D28", Warn, "a hook in a shell's language without a shell",
		"exec takes words, and starts the first one as a program. There is no program of the name kill -TSTP 1, and $VAR and && mean nothing.",
		`["sh", "-c", "…"], or one word for each element.`, pods(shellWithout)},
	{"D29", Error, "a hook that sends TERM and returns",
		"The hook is over at once, nobody waits for the drain, and the runtime sends TERM again. Programs that end hard at the second one lose their jobs.",
		"Quiet and wait in the hook; TERM is for the runtime to send.", pods(hookSendsTERM)},
	{"D30", Warn, "a hook that signals PID 1 or by name in a shared PID namespace",
		"PID 1 is the pause process there, or the machine's init; a name finds the workers of other containers and pods.",
		"A pidfile, a socket, or ebb drain, which finds its own.", workers(wrongProcess)},
	{"D31", Warn, "a proxy beside the worker that ends with it",
		"Ordinary containers of a pod get TERM at the same moment. The proxy is gone first, and the worker cannot give its jobs back through it.",
		"Move it to initContainers with restartPolicy: Always.", workers(proxyEndsFirst)},
	{"D53", Warn, "a hook in Ruby or Node under a tight memory limit",
		"The hook runs inside the container's own limit. A second interpreter of about 100 MB can bring the OOM killer in the middle of the drain.",
		"A static binary such as ebb drain, or a higher limit.", workers(hookTooLarge)},
	{"D56", Warn, "a health check that starts an interpreter every few seconds",
		"It takes the CPU from the jobs, is late when there is much to do, and then counts as failed.",
		"A cheap probe: httpGet, a socket, or test -f.", workers(dearProbe)},
}

// pods is workers for those whose hook is Kubernetes' own.
func pods(check func(*facts, *workload, func(Finding))) func(*facts, func(Finding)) {
	return workers(func(f *facts, w *workload, tell func(Finding)) {
		if w.pod != nil {
			check(f, w, tell)
		}
	})
}

// interpreters are programs that take a second and 100 MB to start.
var interpreters = []string{"ruby", "bundle", "rails", "rake", "node", "npm", "python", "python3", "celery", "php", "java"}

// interpreter is the one that a health check or hook starts, "" for none.
func interpreter(words []word) string {
	for _, w := range words {
		for part := range strings.FieldsSeq(w.value) {
			if slices.Contains(interpreters, baseName(part)) {
				return baseName(part)
			}
		}
	}
	return ""
}

func nervousProbe(_ *facts, w *workload, tell func(Finding)) {
	for _, p := range w.probes {
		if p.kind != "livenessProbe" {
			continue
		}
		for _, asks := range []string{"ready", "drain", "latency", "queue"} {
			if strings.Contains(strings.ToLower(p.path.value), asks) {
				tell(Finding{At: p.path.at, Effect: "this asks for more than life: a worker that is busy or quiet answers no and is killed with its jobs", Fix: "path: /live"})
				break
			}
		}
		if name := interpreter(p.words); name != "" && p.timeout <= time.Second {
			tell(Finding{At: p.at, Effect: name + " has 1 s to start and answer: under load it is late, and a healthy worker is killed with its jobs", Fix: "timeoutSeconds: 10, or a probe by httpGet"})
		}
	}
}

func hookCannotRun(_ *facts, w *workload, tell func(Finding)) {
	if w.hook == nil || len(w.hook.words) == 0 || w.image == nil {
		return
	}
	base := shellOf(w.image.base.value)
	first := w.hook.words[0]
	if base == noShell && (w.hook.shell || slices.Contains([]string{"kill", "pkill", "sleep"}, baseName(first.value))) {
		tell(Finding{At: first.at, Effect: fmt.Sprintf("%s has no %s: the hook fails in silence, and TERM comes at once", w.image.base.value, baseName(first.value)), Fix: array("ebb", "drain")})
		return
	}
	if !strings.Contains(w.image.base.value, "slim") || w.image.installs("procps") {
		return
	}
	for _, c := range w.hook.calls() {
		if name := baseName(c.words[0]); name == "ps" || name == "pgrep" || name == "pkill" {
			tell(Finding{At: w.hook.text.at, Effect: fmt.Sprintf("%s has no %s (procps is not installed): the hook finds nothing, and TERM comes at once", w.image.base.value, name), Fix: array("ebb", "drain")})
			return
		}
	}
}

// installs says that a RUN instruction names a package.
func (img *image) installs(name string) bool {
	return slices.ContainsFunc(img.runs, func(r text) bool { return slices.Contains(strings.Fields(r.value), name) })
}

func shellWithout(_ *facts, w *workload, tell func(Finding)) {
	if w.hook == nil || w.hook.shell || len(w.hook.words) == 0 {
		return
	}
	words := values(w.hook.words)
	bad := strings.ContainsAny(words[0], " ;|&$") || slices.ContainsFunc(words[1:], func(s string) bool {
		return s == "&&" || s == "||" || s == "|" || s == ";" || strings.HasPrefix(s, "$")
	})
	if bad {
		tell(Finding{At: w.hook.words[0].at, Effect: "no shell reads this: the hook fails in silence, and TERM comes at once", Fix: array("sh", "-c", strings.Join(words, " "))})
	}
}

func hookSendsTERM(_ *facts, w *workload, tell func(Finding)) {
	if w.hook != nil && slices.Contains(w.hook.sends(), "TERM") && !w.hook.waits() {
		tell(Finding{At: w.hook.text.at, Effect: "the hook sends TERM and is over: a second TERM follows at once, and nobody waited for the drain", Fix: array("ebb", "drain")})
	}
}

func wrongProcess(_ *facts, w *workload, tell func(Finding)) {
	if w.hook == nil || !w.sharesPIDs.known() {
		return
	}
	for _, c := range w.hook.calls() {
		name := baseName(c.words[0])
		byNumber := name == "kill" && c.words[len(c.words)-1] == "1"
		if byNumber || name == "pkill" || name == "pgrep" || name == "killall" || name == "ps" {
			tell(Finding{At: w.hook.text.at, Effect: "PIDs are shared (line " + fmt.Sprint(w.sharesPIDs.Line) + "): the signal goes to another process than this worker", Fix: array("ebb", "drain")})
			return
		}
	}
}

// proxies are what workers reach their store through, or logs leave by.
var proxies = []string{"cloud-sql-proxy", "cloudsql-proxy", "cloudsql-docker", "gce-proxy", "envoy", "proxyv2", "stunnel", "pgbouncer", "twemproxy", "fluent-bit", "fluentd", "filebeat", "vector", "promtail"}

func proxyEndsFirst(_ *facts, w *workload, tell func(Finding)) {
	if w.pod == nil {
		return
	}
	for _, other := range w.pod.others {
		name := imageBase(other.imageName.value)
		if other != w && other.hook == nil && slices.ContainsFunc(proxies, func(p string) bool { return strings.Contains(name, p) }) {
			tell(Finding{At: other.at, Effect: name + " gets TERM together with " + w.name + " and is gone first: results and jobs that are given back are lost", Fix: "initContainers: … restartPolicy: Always"})
		}
	}
}

func hookTooLarge(_ *facts, w *workload, tell func(Finding)) {
	if w.pod == nil || w.hook == nil || w.memory == 0 || w.memory > 512<<20 {
		return
	}
	if name := interpreter(w.hook.words); name != "" {
		tell(Finding{At: w.hook.text.at, Effect: fmt.Sprintf("the hook starts %s inside a limit of %d MiB: the OOM killer may end the worker in the middle of its drain", name, w.memory>>20), Fix: array("ebb", "drain")})
	}
}

func dearProbe(_ *facts, w *workload, tell func(Finding)) {
	for _, p := range w.probes {
		name := interpreter(p.words)
		if name == "" || p.period >= 30*time.Second || p.kind == "livenessProbe" && p.timeout <= time.Second || p.kind == "startupProbe" {
			continue
		}
		tell(Finding{At: p.at, Effect: fmt.Sprintf("%s starts every %s: it takes the CPU from jobs, and fails when they need it most", name, spell(p.period)), Fix: "a probe by httpGet, or once a minute"})
	}
}

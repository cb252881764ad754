package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rules about what platforms do of their own accord.
var platformRules = []Rule{
	{"D32", Warn, "a grace that the cluster autoscaler cuts",
		"The autoscaler gives pods of a node that it removes 600 s at most, unless told otherwise, whatever their own grace says.",
		"--max-graceful-termination-sec, or the annotation cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\".", workers(cutByAutoscaler)},
	{"D33", Warn, "a grace longer than the notice of a spot node",
		"The cloud takes the node back after 15 s (GKE) or 120 s (EC2), whatever the pod's grace is.",
		"Jobs that checkpoint, leases, or nodes on demand.", workers(spotCutsShort)},
	{"D51", Warn, "a rollout that ends old pods before it begins new ones",
		"While the old workers drain for as long as their grace allows, nobody works on the queue.",
		"RollingUpdate with maxSurge.", workers(rolloutStandsStill)},
	{"D52", Warn, "a rollout that is given up before a drain can end",
		"progressDeadlineSeconds, helm --timeout, kubectl rollout status --timeout or the timeout of the pipeline that waits, below the grace: the rollout counts as failed while old workers still drain, and is rolled back.",
		"All of them above the grace.", progressTooShort},
	{"D54", Info, "no budget for disruptions, or one that allows none",
		"Without a PodDisruptionBudget a drain of nodes may take all workers at once; one that allows no disruption blocks it until somebody forces it, with a grace of 0.",
		"maxUnavailable: 1.", budgets},
	{"D55", Warn, "a command that ends containers without a grace",
		"docker kill, rm -f, down -t 0, kubectl delete --force and kill -9 leave no time for anything: every running job is cut.",
		"The ordinary stop.", forced},
}

func cutByAutoscaler(f *facts, w *workload, tell func(Finding)) {
	limit := cmp.Or(f.autoscaler, 10*time.Minute)
	if w.pod == nil || w.grace.value <= limit || w.pod.annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"].value == "false" {
		return
	}
	tell(Finding{At: w.grace.at, Effect: fmt.Sprintf("the cluster autoscaler cuts this grace at %s when it removes the node", spell(limit)), Fix: `cluster-autoscaler.kubernetes.io/safe-to-evict: "false"`})
}

func spotCutsShort(_ *facts, w *workload, tell func(Finding)) {
	if w.pod == nil {
		return
	}
	for _, s := range w.pod.selectors {
		limit := time.Duration(0)
		switch name := strings.ToLower(s.value); {
		case strings.Contains(name, "gke-spot") || strings.Contains(name, "gke-preemptible"):
			limit = 15 * time.Second
		case strings.Contains(name, "capacitytype=spot"), strings.Contains(name, "capacity-type=spot"):
			limit = 2 * time.Minute
		}
		if limit > 0 && w.grace.value > limit {
			tell(Finding{At: s.at, Effect: fmt.Sprintf("the cloud takes the node %s after its notice, and the grace is %s: jobs that need longer are cut", spell(limit), spell(w.grace.value)),
				Fix: "checkpoint long jobs, or run them on demand"})
			return
		}
	}
}

func rolloutStandsStill(_ *facts, w *workload, tell func(Finding)) {
	if w.pod != nil && w.pod.strategy.value != "" {
		tell(Finding{At: w.pod.strategy.at, Effect: fmt.Sprintf("%s: for up to %s of each rollout nobody works on the queue", w.pod.strategy.value, spell(w.grace.value)), Fix: "type: RollingUpdate, maxSurge: 1"})
	}
}

func progressTooShort(f *facts, tell func(Finding)) {
	workers(deadlineTooShort)(f, tell)
	longest := time.Duration(0)
	for _, w := range f.workloads {
		if w.pod != nil && w.isWorker() {
			longest = max(longest, w.grace.value)
		}
	}
	f.calls(func(at Place, words []string) {
		if waits, ok := rolloutWait(words); ok && waits < longest {
			tell(Finding{At: at, Effect: fmt.Sprintf("%s gives up after %s while workers drain for %s", baseName(words[0]), spell(waits), spell(longest)), Fix: fmt.Sprintf("--timeout %ds", wholeSeconds(longest)+300)})
		}
	})
	for _, r := range f.recipes {
		if r.limit.known() && r.limit.value < longest && slices.ContainsFunc(r.path.calls, func(c call) bool { return awaitsRollout(c.words) }) {
			enough := fmt.Sprint(int((longest+5*time.Minute-1)/time.Minute) + 1)
			if r.limit.written == "timeout" {
				enough += " minutes"
			}
			tell(Finding{At: r.limit.at, Effect: fmt.Sprintf("the pipeline gives up after %s while workers drain for %s", spell(r.limit.value), spell(longest)), Fix: r.limit.written + ": " + enough})
		}
	}
}

// awaitsRollout says that a command returns when a rollout is over. helm waits only if
// told to.
func awaitsRollout(words []string) bool {
	switch baseName(words[0]) {
	case "helm":
		return slices.ContainsFunc(words, func(w string) bool { return w == "--atomic" || w == "--wait" || strings.HasPrefix(w, "--wait=") })
	case "kubectl":
		return slices.Contains(words, "rollout") && slices.Contains(words, "status")
	}
	return false
}

// rolloutWait is how long a command waits for a rollout at most: helm for 5 minutes unless
// told, kubectl without an end. (Helm, helm upgrade.)
func rolloutWait(words []string) (most time.Duration, ok bool) {
	if ok = awaitsRollout(words); ok && baseName(words[0]) == "helm" {
		most = 5 * time.Minute
	}
	for i, w := range words {
		name, value, joined := strings.Cut(w, "=")
		if name != "--timeout" {
			continue
		}
		if !joined && i+1 < len(words) {
			value = words[i+1]
		}
		if d, known := seconds(value); known && d > 0 {
			most = d
		} else {
			return 0, false // not known before it runs, or without an end
		}
	}
	return most, ok && most > 0
}

func deadlineTooShort(_ *facts, w *workload, tell func(Finding)) {
	if w.pod != nil && w.pod.progress.said() && w.pod.progress.value < w.grace.value {
		tell(Finding{At: w.pod.progress.at, Effect: fmt.Sprintf("the rollout counts as failed after %s while workers drain for %s", spell(w.pod.progress.value), spell(w.grace.value)),
			Fix: fmt.Sprintf("progressDeadlineSeconds: %d", wholeSeconds(w.grace.value)+300)})
	}
}

func budgets(f *facts, tell func(Finding)) {
	workers(func(f *facts, w *workload, tell func(Finding)) {
		if w.pod == nil || w.pod.replicas < 2 {
			return
		}
		for _, b := range f.budgets {
			if !selects(b.selector, w.pod.labels) {
				continue
			}
			if b.minAvailable.value == fmt.Sprint(w.pod.replicas) || b.minAvailable.value == "100%" {
				tell(Finding{At: b.minAvailable.at, Effect: "no pod may ever go: nodes drain only by force, with a grace of 0", Fix: "maxUnavailable: 1"})
			}
			return
		}
		tell(Finding{At: w.pod.at, Effect: fmt.Sprintf("a drain of nodes may take all %d workers at once", w.pod.replicas), Fix: "a PodDisruptionBudget with maxUnavailable: 1"})
	})(f, tell)
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

func forced(f *facts, tell func(Finding)) {
	f.calls(func(at Place, words []string) {
		if what := force(words); what != "" {
			tell(Finding{At: at, Effect: what + " leaves no grace: every running job is cut", Fix: "stop it, and let it have its time"})
		}
	})
}

// force is what a command does that ends something without a grace, "" if it does not.
func force(words []string) string {
	if _, inside := execInside(words); len(inside) > 0 {
		words = inside
	}
	line := " " + strings.Join(words, " ") + " "
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(line, " "+p+" ") {
				return true
			}
		}
		return false
	}
	switch baseName(words[0]) {
	case "kubectl":
		if has("delete") && (has("--grace-period=0", "--grace-period 0") || has("--force", "--now")) {
			return "kubectl delete by force"
		}
	case "docker", "podman", "docker-compose":
		switch {
		case has("kill") && !has("-s", "--signal"):
			return "docker kill"
		case has("rm") && has("-f", "--force", "-fsv", "-sf", "-fs"):
			return "docker rm -f"
		case has("-t 0", "-t0", "--timeout 0", "--timeout=0", "--time 0", "--time=0"):
			return "a timeout of 0"
		}
	case "kill", "pkill", "killall":
		if has("-9", "-KILL", "-SIGKILL", "-s KILL", "-s SIGKILL", "-s 9") {
			return "KILL"
		}
	}
	return ""
}

package doctor

import (
	"bytes"
	"path"
	"strconv"
	"strings"
	"time"
)

// kubernetesGrace is terminationGracePeriodSeconds unless it is said.
const kubernetesGrace = 30 * time.Second

// isKubernetes knows manifests by what every one has, since they have no names of
// their own. A template of Helm is none yet.
func isKubernetes(s Source) bool {
	if !isYAML(s.Name) && path.Ext(s.Name) != ".json" || bytes.Contains(s.Text, []byte("{{")) {
		return false
	}
	return (bytes.HasPrefix(s.Text, []byte("apiVersion:")) || bytes.Contains(s.Text, []byte("\napiVersion:")) || bytes.Contains(s.Text, []byte(`"apiVersion":`))) &&
		bytes.Contains(s.Text, []byte("kind"))
}

func (f *facts) readKubernetes(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		f.object(doc)
	}
}

// podOf is where each kind of object keeps its pod.
var podOf = map[string][]string{
	"Pod": {}, "Deployment": {"spec", "template"}, "StatefulSet": {"spec", "template"}, "DaemonSet": {"spec", "template"},
	"ReplicaSet": {"spec", "template"}, "ReplicationController": {"spec", "template"}, "Job": {"spec", "template"},
	"CronJob": {"spec", "jobTemplate", "spec", "template"}, "Rollout": {"spec", "template"},
}

func (f *facts) object(doc node) {
	kind := doc.get("kind").text().value
	if version := doc.get("apiVersion").text().value; strings.HasPrefix(version, "serving.knative.dev/") || strings.HasPrefix(version, "run.googleapis.com/") {
		f.cloudRun(doc)
		return
	}
	switch kind {
	case "List":
		for _, item := range doc.get("items").list() {
			f.object(item)
		}
		return
	case "PodDisruptionBudget":
		f.budgets = append(f.budgets, budget{
			at: doc.get("spec").at(), selector: stringsOf(doc.get("spec", "selector", "matchLabels")), minAvailable: doc.get("spec", "minAvailable").text(),
		})
		return
	}
	below, known := podOf[kind]
	if !known {
		return
	}
	template := doc.get(below...)
	spec := template.get("spec")
	if !spec.isMap() {
		return
	}
	p := &pod{
		kind: kind, name: doc.get("metadata", "name").text().value, at: spec.at(),
		labels: stringsOf(template.get("metadata", "labels")), annotations: textsOf(template.get("metadata", "annotations")),
		selectors: selectors(spec), replicas: 1, progress: doc.get("spec", "progressDeadlineSeconds").span(), strategy: standstill(doc),
	}
	if n, ok := doc.get("spec", "replicas").number(); ok {
		p.replicas = n
	}
	for _, c := range spec.get("containers").list() {
		if c.get("image").there() { // else it is a patch of something that stands elsewhere
			p.others = append(p.others, container(kind, p, spec, c))
		}
	}
	f.workloads = append(f.workloads, p.others...)
	f.allowance(spec)
}

// cloudRunGrace is fixed. (Google Cloud, container runtime contract.)
const cloudRunGrace = 10 * time.Second

// cloudRun reads a service or worker pool of Cloud Run, whose pods look like those of
// Kubernetes and end otherwise.
func (f *facts) cloudRun(doc node) {
	spec := doc.get("spec", "template", "spec")
	for _, c := range spec.get("containers").list() {
		w := container("", &pod{}, spec, c)
		w.platform, w.pod, w.grace, w.hook = cloudRun, nil, span{value: cloudRunGrace, at: spec.at()}, nil
		if w.name == "" {
			w.name = doc.get("metadata", "name").text().value
		}
		f.workloads = append(f.workloads, w)
	}
}

func stringsOf(n node) map[string]string {
	list := map[string]string{}
	n.fields(func(key text, value node) { list[key.value] = value.text().value })
	return list
}

func textsOf(n node) map[string]text {
	list := map[string]text{}
	n.fields(func(key text, value node) { list[key.value] = text{value.text().value, key.at} })
	return list
}

// selectors are what binds a pod to certain nodes.
func selectors(spec node) (list []text) {
	spec.get("nodeSelector").fields(func(key text, value node) {
		list = append(list, text{key.value + "=" + value.text().value, key.at})
	})
	for _, t := range spec.get("tolerations").list() {
		list = append(list, text{t.get("key").text().value + "=" + t.get("value").text().value, t.at()})
	}
	return list
}

// standstill is a rollout strategy in which old pods end before new ones begin.
func standstill(doc node) text {
	for _, field := range []string{"strategy", "updateStrategy"} {
		s := doc.get("spec", field)
		if t := s.get("type").text(); t.value == "Recreate" {
			return t
		}
		if t := s.get("rollingUpdate", "maxSurge").text(); t.value == "0" || t.value == "0%" {
			return text{"maxSurge: " + t.value, t.at}
		}
	}
	return text{}
}

func container(kind string, p *pod, spec, c node) *workload {
	name := c.get("name").text()
	w := &workload{
		name: name.value, platform: kubernetes, at: c.at(), pod: p, imageName: c.get("image").text(),
		entry: c.get("command").command(), args: c.get("args").command(), env: map[string]text{},
		stopSignal: c.get("lifecycle", "stopSignal").text(),
		grace:      spec.get("terminationGracePeriodSeconds").span(),
	}
	if !w.grace.known() {
		w.grace = span{value: kubernetesGrace, at: spec.at()}
	}
	for _, e := range c.get("env").list() {
		w.env[e.get("name").text().value] = e.get("value").text()
	}
	for _, shared := range []string{"shareProcessNamespace", "hostPID"} {
		if n := spec.get(shared); n.isTrue() {
			w.sharesPIDs = n.at()
		}
	}
	if policy := spec.get("restartPolicy").text(); kind != "Job" && kind != "CronJob" && (policy.value == "" || policy.value == "Always") {
		w.restart = text{"restartPolicy: Always", policy.orAt(spec.at())}
	}
	w.hook = preStop(c.get("lifecycle", "preStop"))
	for _, kind := range []string{"livenessProbe", "startupProbe", "readinessProbe"} {
		if n := c.get(kind); n.isMap() {
			w.probes = append(w.probes, kubernetesProbe(kind, n))
		}
	}
	w.memory = bytesOf(c.get("resources", "limits", "memory").text().value)
	return w
}

func preStop(n node) *hook {
	if !n.isMap() {
		return nil
	}
	h := &hook{at: n.at()}
	if s := n.get("sleep", "seconds").span(); s.known() {
		h.sleep, h.at = s.value, s.at
	}
	h.http = n.get("httpGet").isMap()
	if c := n.get("exec", "command").command(); c != nil {
		h.at = c.at
		h.run(c.words)
	}
	return h
}

func kubernetesProbe(kind string, n node) probe {
	p := probe{at: n.at(), kind: kind, words: n.get("exec", "command").words(), path: n.get("httpGet", "path").text(),
		period: 10 * time.Second, timeout: time.Second, grace: n.get("terminationGracePeriodSeconds").span()}
	if len(p.words) > 0 {
		p.at = p.words[0].at
	}
	if s := n.get("periodSeconds").span(); s.known() {
		p.period = s.value
	}
	if s := n.get("timeoutSeconds").span(); s.known() {
		p.timeout = s.value
	}
	return p
}

// allowance reads how long the cluster autoscaler lets pods end.
func (f *facts) allowance(spec node) {
	for _, c := range spec.get("containers").list() {
		for _, w := range append(c.get("command").words(), c.get("args").words()...) {
			if value, ok := strings.CutPrefix(w.value, "--max-graceful-termination-sec="); ok {
				f.autoscaler, _ = seconds(value)
			}
		}
	}
}

// bytesOf reads a quantity of memory; 0 if it is none.
func bytesOf(s string) int64 {
	units := []struct {
		suffix string
		factor float64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}}
	for _, u := range units {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseFloat(digits, 64)
			if err != nil {
				return 0
			}
			return int64(n * u.factor)
		}
	}
	return 0
}

package doctor

import (
	"bytes"
	"path"
	"strings"
	"time"
)

// What ECS grants. (ECS API, ContainerDefinition.stopTimeout.)
const (
	ecsGrace    = 30 * time.Second
	fargateMost = 2 * time.Minute
)

// isECS knows task and service definitions, as JSON or inside CloudFormation, and the
// right that a task's role needs for scale-in protection.
func isECS(s Source) bool {
	if !isYAML(s.Name) && path.Ext(s.Name) != ".json" {
		return false
	}
	for _, mark := range []string{"containerDefinitions", "ContainerDefinitions", "AWS::ECS::Service", protecting} {
		if bytes.Contains(s.Text, []byte(mark)) {
			return true
		}
	}
	return bytes.Contains(s.Text, []byte(`"serviceName"`)) && bytes.Contains(s.Text, []byte(`"taskDefinition"`))
}

// protecting is the right to hold scale-in protection, in the policy of a role.
const protecting = "ecs:UpdateTaskProtection"

// task is what ECS knows of a container beyond itself.
type task struct {
	family    string
	fargate   bool
	protected bool // something among the files may hold scale-in protection
	service   *ecsService
}

// ecsService keeps so many tasks of a kind running.
type ecsService struct {
	task       string // its family, or its name in a template
	fargate    bool
	version    text // of Fargate's platform
	minHealthy text
}

func (f *facts) readECS(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		resources := doc.get("Resources")
		if !resources.isMap() {
			f.taskDefinition("", doc)
			f.taskDefinition("", doc.get("taskDefinition"))
			if doc.get("serviceName").there() {
				f.ecsService(doc)
			}
			continue
		}
		resources.fields(func(name text, r node) {
			switch properties := r.get("Properties"); r.get("Type").text().value {
			case "AWS::ECS::TaskDefinition":
				f.taskDefinition(name.value, properties)
			case "AWS::ECS::Service":
				f.ecsService(properties)
			}
		})
	}
	f.taskProtection = f.taskProtection || bytes.Contains(s.Text, []byte(protecting))
}

func (f *facts) ecsService(n node) {
	s := &ecsService{
		task: n.get("taskDefinition").text().value, version: n.get("platformVersion").text(),
		minHealthy: n.get("deploymentConfiguration", "minimumHealthyPercent").text(),
		fargate:    strings.HasPrefix(n.get("launchType").text().value, "FARGATE"),
	}
	if ref := n.get("taskDefinition", "Ref").text(); ref.value != "" {
		s.task = ref.value
	}
	for _, strategy := range n.get("capacityProviderStrategy").list() {
		s.fargate = s.fargate || strings.HasPrefix(strategy.get("capacityProvider").text().value, "FARGATE")
	}
	f.ecsServices = append(f.ecsServices, s)
}

func (f *facts) taskDefinition(name string, n node) {
	t := &task{family: name}
	if family := n.get("family").text().value; name == "" {
		t.family = family
	}
	for _, c := range n.get("requiresCompatibilities").list() {
		t.fargate = t.fargate || c.text().value == "FARGATE"
	}
	for _, c := range n.get("containerDefinitions").list() {
		f.workloads = append(f.workloads, t.container(c))
	}
}

func (t *task) container(c node) *workload {
	w := &workload{
		name: c.get("name").text().value, platform: ecs, at: c.at(), task: t, imageName: c.get("image").text(),
		entry: c.get("entryPoint").command(), args: c.get("command").command(), grace: c.get("stopTimeout").span(), env: map[string]text{},
	}
	if !w.grace.known() {
		w.grace = span{value: ecsGrace, at: c.at()}
	}
	if init := c.get("linuxParameters", "initProcessEnabled"); init.isTrue() {
		w.init = init.at()
	}
	for _, e := range c.get("environment").list() {
		w.env[e.get("name").text().value] = e.get("value").text()
	}
	if check := c.get("healthCheck"); check.isMap() {
		p := composeProbe(check)
		if words := check.get("command").words(); len(words) > 0 {
			p.at, p.words = words[0].at, nil
			for _, w := range words[1:] { // after CMD or CMD-SHELL
				p.words = append(p.words, splitWords(w)...)
			}
		}
		w.probes = append(w.probes, p)
	}
	return w
}

// ecsTasks brings tasks and their services together.
func (f *facts) ecsTasks() {
	for _, w := range f.workloads {
		if w.task == nil {
			continue
		}
		w.task.protected = f.taskProtection
		for _, s := range f.ecsServices {
			if s.task != "" && (s.task == w.task.family || strings.HasPrefix(s.task, w.task.family+":")) {
				w.task.service, w.task.fargate = s, w.task.fargate || s.fargate
			}
		}
	}
}

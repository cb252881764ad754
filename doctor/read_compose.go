package doctor

import (
	"path"
	"strings"
	"time"

	"mvdan.cc/sh/v3/syntax"
)

// composeGrace is what docker stop and Compose give unless told otherwise.
const composeGrace = 10 * time.Second

func isCompose(s Source) bool {
	base := path.Base(s.Name)
	return isYAML(base) && (strings.HasPrefix(base, "compose.") || strings.HasPrefix(base, "docker-compose.") ||
		strings.HasSuffix(strings.TrimSuffix(base, path.Ext(base)), ".compose"))
}

func (f *facts) readCompose(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		doc.get("services").fields(func(name text, service node) {
			f.services = append(f.services, composeService{s.Name, name, service})
		})
	}
}

// composeService is a service as one file has it.
type composeService struct {
	file string
	name text
	node node
}

func (s composeService) isBase() bool {
	base := path.Base(s.file)
	return strings.TrimSuffix(strings.TrimPrefix(base, "docker-"), path.Ext(base)) == "compose"
}

func (s composeService) isOverride() bool { return strings.Contains(path.Base(s.file), ".override.") }

// alone says that a service can be started as it stands. One that cannot is the part
// of it that another file changes.
func (s composeService) alone() bool {
	return s.node.get("image").there() || s.node.get("build").there() || s.node.get("extends").there()
}

// layered is a service with what lies under it: a value of the upper one counts.
type layered []node

func (l layered) get(key string) node {
	for _, n := range l {
		if found := n.get(key); found.there() {
			return found
		}
	}
	return node{}
}

// composeServices makes workloads of the services. An override file is laid over the
// main one without being asked; of other files, a service that says only what is
// different is laid over it too, and is a workload of its own.
func (f *facts) composeServices() {
	for _, s := range f.services {
		if s.isOverride() && f.under(s).there() {
			continue // it is looked at with the one below
		}
		layers := layered{s.node}
		if s.isBase() {
			for _, over := range f.services {
				if over.isOverride() && f.under(over).n == s.node.n {
					layers = layered{over.node, s.node}
				}
			}
		} else if below := f.under(s); !s.alone() && below.there() {
			layers = append(layers, below)
		}
		layers = append(layers, f.extended(s)...)
		f.workloads = append(f.workloads, layers.workload(s))
	}
}

// under is the service of the main file in the same folder.
func (f *facts) under(s composeService) node {
	for _, other := range f.services {
		if other.isBase() && other.name.value == s.name.value && dirOf(other.file) == dirOf(s.file) && other.file != s.file {
			return other.node
		}
	}
	return node{}
}

// extended are the services that one names by extends.
func (f *facts) extended(s composeService) (below []node) {
	for range 8 { // a circle ends somewhere
		extends := s.node.get("extends")
		if !extends.there() {
			return below
		}
		name, file := extends.text().value, s.file
		if extends.isMap() {
			name = extends.get("service").text().value
			if other := extends.get("file").text().value; other != "" {
				file = path.Join(dirOf(s.file), other)
			}
		}
		found := false
		for _, other := range f.services {
			if !found && other.name.value == name && other.file == file {
				s, found = other, true
				below = append(below, other.node)
			}
		}
		if !found {
			return below
		}
	}
	return below
}

func (l layered) workload(s composeService) *workload {
	w := &workload{
		name: s.name.value, platform: compose, at: s.name.at, imageName: l.get("image").text(),
		entry: composeCommand(l.get("entrypoint")), args: composeCommand(l.get("command")),
		stopSignal: l.get("stop_signal").text(), env: composeEnv(l.get("environment")),
		grace: l.get("stop_grace_period").span(),
	}
	if !w.grace.known() {
		w.grace = span{value: composeGrace, at: s.name.at}
	}
	if init := l.get("init"); init.isTrue() {
		w.init = init.at()
	}
	w.container = l.get("container_name").text()
	if r := l.get("restart").text(); r.value == "always" || r.value == "unless-stopped" {
		w.restart = r
	}
	if b := l.get("build"); b.there() {
		dir := b.text().value
		if b.isMap() {
			dir = b.get("context").text().value
		}
		w.build = &build{dir: path.Join(dirOf(s.file), dir), file: b.get("dockerfile").text().value, target: b.get("target").text().value}
	}
	if pid := l.get("pid"); pid.there() {
		w.sharesPIDs = pid.at()
	}
	if check := l.get("healthcheck"); check.there() && !check.get("disable").isTrue() {
		w.probes = append(w.probes, composeProbe(check))
	}
	return w
}

// composeCommand reads a list, or a text that Compose takes apart into words itself:
// there is no shell, so a text is no worse than a list.
func composeCommand(n node) *command {
	if c := n.command(); c != nil {
		return c
	}
	t := n.text()
	if strings.TrimSpace(t.value) == "" {
		return nil
	}
	return &command{at: t.at, words: splitWords(t)}
}

// splitWords takes a text apart by the quotes and spaces of a shell, and gives no
// other sign a meaning.
func splitWords(t text) (words []word) {
	quoted := strings.NewReplacer(";", `\;`, "&", `\&`, "|", `\|`, "<", `\<`, ">", `\>`, "(", `\(`, ")", `\)`, "#", `\#`)
	source := t.value
	if !strings.ContainsAny(source, `'"`) {
		source = quoted.Replace(source)
	}
	p := syntax.NewParser(syntax.Variant(syntax.LangPOSIX))
	for w, err := range p.WordsSeq(strings.NewReader(source)) {
		if err != nil { // quotes that do not end
			words = nil
			for part := range strings.FieldsSeq(t.value) {
				words = append(words, word{part, t.at})
			}
			break
		}
		words = append(words, word{wordText(w), t.at})
	}
	return words
}

func composeEnv(n node) map[string]text {
	env := map[string]text{}
	n.fields(func(key text, value node) { env[key.value] = value.text() })
	for _, e := range n.list() {
		t := e.text()
		name, value, _ := strings.Cut(t.value, "=")
		env[name] = text{value, t.at}
	}
	return env
}

func composeProbe(n node) probe {
	p := probe{at: n.at(), kind: "healthcheck", period: 30 * time.Second, timeout: 30 * time.Second}
	if d := n.get("interval").span(); d.known() {
		p.period = d.value
	}
	if d := n.get("timeout").span(); d.known() {
		p.timeout = d.value
	}
	test := n.get("test")
	p.at = test.at()
	if !test.isList() {
		p.words = splitWords(test.text())
		return p
	}
	for _, w := range test.words()[min(1, len(test.words())):] { // after CMD or CMD-SHELL
		p.words = append(p.words, splitWords(w)...)
	}
	return p
}

package doctor

import (
	"path"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// flyGrace is kill_timeout unless it is said. (Fly, fly.toml reference.)
const flyGrace = 5 * time.Second

func isFly(s Source) bool {
	base := path.Base(s.Name)
	return base == "fly.toml" || strings.HasPrefix(base, "fly.") && path.Ext(base) == ".toml"
}

// readFly makes a workload of each process. Without any there is one, the image's.
func (f *facts) readFly(s Source) {
	settings, processes := map[string]text{}, []text{}
	names := map[Place]string{}
	p := &unstable.Parser{}
	p.Reset(s.Text)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		key := tomlKey(e)
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = key
		case unstable.KeyValue:
			value := e.Value()
			at := Place{s.Name, 1}
			if keys := e.Key(); keys.Next() {
				at.Line = p.Shape(keys.Node().Raw).Start.Line
			}
			t := text{string(value.Data), at}
			switch {
			case table == "processes":
				processes, names[at] = append(processes, t), key
			case table == "":
				settings[key] = t
			}
		}
	}
	if err := p.Error(); err != nil {
		at := Place{s.Name, 1}
		if bad, ok := err.(*unstable.ParserError); ok && len(bad.Highlight) > 0 {
			at.Line = p.Shape(p.Range(bad.Highlight)).Start.Line
		}
		f.problem(at, "this is not TOML: %v", err)
		return
	}
	grace := span{value: flyGrace, at: Place{s.Name, 1}}
	if t := settings["kill_timeout"]; t.value != "" {
		if d, ok := seconds(t.value); ok {
			grace = span{d, t.at, t.value}
		}
	}
	made := func(name string, at Place) *workload {
		return &workload{name: name, platform: fly, at: at, grace: grace, stopSignal: settings["kill_signal"], env: map[string]text{}, build: &build{dir: dirOf(s.Name)}}
	}
	for _, t := range processes {
		w := made(names[t.at], t.at)
		w.args = &command{at: t.at, words: splitWords(t)}
		f.workloads = append(f.workloads, w)
	}
	if len(processes) == 0 {
		f.workloads = append(f.workloads, made(settings["app"].value, Place{s.Name, 1}))
	}
}

func tomlKey(e *unstable.Node) string {
	var parts []string
	for keys := e.Key(); keys.Next(); {
		parts = append(parts, string(keys.Node().Data))
	}
	return strings.Join(parts, ".")
}

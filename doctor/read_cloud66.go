package doctor

import (
	"bytes"
	"path"
	"strings"
)

// isCloud66 knows Cloud 66's service.yml and manifest.yml, which others call their
// files too, by what only they have.
func isCloud66(s Source) bool {
	switch base := path.Base(s.Name); base {
	case "service.yml", "service.yaml":
		return !isKubernetes(s) && bytes.Contains(s.Text, []byte("services:"))
	case "manifest.yml", "manifest.yaml":
		return bytes.Contains(s.Text, []byte("procfile_metadata"))
	}
	return false
}

// readCloud66 reads services of containers, and stop sequences of processes on
// servers. (Cloud 66, service lifecycle management and process management.)
func (f *facts) readCloud66(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		doc.get("services").fields(func(name text, service node) {
			w := &workload{name: name.value, platform: cloud66, at: name.at, imageName: service.get("image").text(),
				args: composeCommand(service.get("command")), grace: service.get("stop_grace").span(), sequence: service.get("stop_sequence").text(), env: composeEnv(service.get("env_vars"))}
			if w.sequence.value == "" {
				w.sequence = service.get("pre_stop_sequence").text()
			}
			if stop := service.get("pre_stop_command").text(); stop.value != "" {
				w.hook = &hook{at: stop.at}
				w.hook.run(splitWords(stop))
			}
			f.workloads = append(f.workloads, w)
		})
		f.procfileMetadata(doc, 6)
	}
}

// procfileMetadata is below the name of whatever kind of application it is.
func (f *facts) procfileMetadata(n node, depth int) {
	if depth == 0 {
		return
	}
	n.fields(func(key text, below node) {
		if key.value != "procfile_metadata" {
			f.procfileMetadata(below, depth-1)
			return
		}
		below.fields(func(name text, process node) {
			f.workloads = append(f.workloads, &workload{name: name.value, platform: cloud66, at: name.at, sequence: process.get("stop_sequence").text(), everyone: true, env: map[string]text{}})
		})
	})
}

// steps are those of a stop sequence, in capitals: signals, and waits as they are
// written.
func (w *workload) steps() []string {
	return strings.FieldsFunc(strings.ToUpper(w.sequence.value), func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
}

// sequenced are the signals of the stop sequence.
func (w *workload) sequenced() (signals []string) {
	for _, s := range w.steps() {
		if name := signalName(s); s[0] > '9' && known(name) {
			signals = append(signals, name)
		}
	}
	return signals
}

package doctor

import (
	"path"
	"strings"
)

// join brings together what files say of each other.
func (f *facts) join() {
	f.composeServices()
	f.unitServices()
	f.ecsTasks()
	for _, w := range f.workloads {
		w.image = f.imageOf(w)
		if w.image != nil {
			w.image.used = true
		}
	}
	for _, img := range f.images {
		if img.last && !img.used && (img.entrypoint != nil || img.cmd != nil) {
			f.workloads = append(f.workloads, &workload{platform: plainImage, at: img.at, image: img})
		}
	}
	for _, w := range f.workloads {
		if w.image != nil {
			if w.stopSignal.value == "" {
				w.stopSignal = w.image.stopSignal
			}
			if w.image.health != nil && w.platform != kubernetes && !hasCheck(w.probes) {
				w.probes = append(w.probes, *w.image.health) // Kubernetes does not look at it
			}
		}
		w.chain = f.trace(w)
		f.recognise(w)
		f.times(w)
	}
}

func hasCheck(probes []probe) bool {
	for _, p := range probes {
		if p.kind == "healthcheck" {
			return true
		}
	}
	return false
}

// imageOf finds what a workload runs among the Dockerfiles: the one that Compose
// builds from, the one whose name the image has, or the only one there is.
func (f *facts) imageOf(w *workload) *image {
	if w.build != nil {
		file := path.Join(w.build.dir, w.build.file)
		for _, img := range f.images {
			here := !img.built && (img.at.File == file || w.build.file == "" && img.dir == w.build.dir)
			if here && (w.build.target == "" && img.last || w.build.target != "" && strings.EqualFold(img.stage, w.build.target)) {
				return img
			}
		}
		return nil
	}
	name := imageBase(w.imageName.value)
	if name == "" {
		return nil
	}
	for _, other := range f.workloads { // a service of Compose that builds and names it
		if other.build != nil && imageBase(other.imageName.value) == name {
			return f.imageOf(other)
		}
	}
	var last []*image
	for _, img := range f.images {
		if strings.EqualFold(img.stage, name) || path.Base(img.dir) == name && img.last {
			return img
		}
		if img.last {
			last = append(last, img)
		}
	}
	if len(last) == 1 && kindByName(name) != noWorker && within(dirOf(w.at.File), last[0].dir) {
		return last[0]
	}
	return nil
}

// imageBase is an image's name without registry, tag and digest.
func imageBase(name string) string {
	name, _, _ = strings.Cut(name, "@")
	name = path.Base(name)
	name, _, _ = strings.Cut(name, ":")
	if name == "." {
		return ""
	}
	return name
}

// dir is the folder that a workload's own files are looked for in.
func (w *workload) dir() string {
	if w.image != nil {
		return w.image.dir
	}
	return dirOf(w.at.File)
}

// recognise says what a workload is.
func (f *facts) recognise(w *workload) {
	for _, l := range w.chain {
		if kind := kindOf(values(l.words)); kind != unknownWorker && l.kind != shell {
			w.worker = kind
		}
		for _, c := range l.path.calls {
			if kind := kindOf(c.words); kind != unknownWorker && w.worker == unknownWorker {
				w.worker = kind
			}
		}
	}
	if w.worker == unknownWorker {
		w.worker = kindByName(w.name)
	}
	if w.worker == unknownWorker && w.pod != nil {
		w.worker = kindByName(w.pod.name)
	}
}

// runsJobs is false where a cut stop cannot cost a job, as far as is known.
func (w *workload) runsJobs() bool { return w.worker != noWorker }

// isWorker is true where it surely can.
func (w *workload) isWorker() bool { return w.worker != noWorker && w.worker != unknownWorker }

// times finds how long the worker itself lets jobs run on after TERM: what its
// command says counts before its own file.
func (f *facts) times(w *workload) {
	var told []span
	for _, l := range w.chain {
		if t := commandTimeout(w.worker, l.words); t.known() {
			told = append(told[:0], t) // the innermost knows best
		}
	}
	if w.worker == ebbWorker {
		if t := w.env["EBB_GRACE"]; t.value != "" {
			if d, ok := seconds(t.value); ok {
				told = append(told, span{d, t.at, t.value})
			}
		}
	}
	for _, s := range f.settings {
		if s.kind == w.worker && s.timeout.known() && within(w.dir(), s.dir) {
			told = append(told, s.timeout)
		}
	}
	switch {
	case len(told) > 0:
		w.timeout, w.others = told[0], told[1:]
	case w.worker == sidekiqWorker:
		w.timeout = span{value: sidekiqTERM, at: w.at}
	}
}

package doctor

import (
	"bytes"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// isSettings knows the files that say how a worker itself behaves.
func isSettings(s Source) bool {
	base := path.Base(s.Name)
	return base == "Gemfile.lock" || base == "package.json" || isYAML(base) && (base == "ebb.yml" || base == "ebb.yaml" || strings.Contains(base, "sidekiq") && !isKubernetes(s))
}

var lockedSidekiq = regexp.MustCompile(`(?m)^    sidekiq \((\d+)\.`)

// Libraries and packages that start programs of their own.
var (
	spawningGem     = regexp.MustCompile(`^    (mini_magick|rmagick|streamio-ffmpeg|wicked_pdf|pdfkit|grover|ferrum|image_processing) \(`)
	spawningPackage = regexp.MustCompile(`^\s*"(puppeteer|playwright|fluent-ffmpeg|gm|wkhtmltopdf)"\s*:`)
	spawningProgram = regexp.MustCompile(`\b(imagemagick|ffmpeg|wkhtmltopdf|chromium|ghostscript|libreoffice)\b`)
)

// spawning remembers the first line that names something which starts programs.
func (f *facts) spawning(s Source, what *regexp.Regexp) {
	number := 0
	for line := range strings.Lines(string(s.Text)) {
		number++
		if m := what.FindStringSubmatch(line); m != nil {
			f.spawners = append(f.spawners, text{m[1], Place{s.Name, number}})
			return
		}
	}
}

// spawnsOf is a program that the jobs of a workload start, and who says so.
func (f *facts) spawnsOf(w *workload) text {
	if w.image != nil {
		for _, run := range w.image.runs {
			if m := spawningProgram.FindString(run.value); m != "" {
				return text{m, run.at}
			}
		}
	}
	for _, s := range f.spawners {
		if within(w.dir(), dirOf(s.at.File)) {
			return s
		}
	}
	return text{}
}

// sidekiqMajor is the version that is locked where the workload is built; 0: unknown.
func (f *facts) sidekiqMajor(w *workload) int {
	for _, lock := range f.lockfiles {
		if within(w.dir(), lock.dir) {
			return lock.sidekiq
		}
	}
	return 0
}

func (f *facts) readSettings(s Source) {
	base := path.Base(s.Name)
	if base == "Gemfile.lock" {
		lock := lockfile{dir: dirOf(s.Name)}
		if m := lockedSidekiq.FindSubmatch(s.Text); m != nil {
			lock.sidekiq, _ = strconv.Atoi(string(m[1])) // digits
		}
		f.lockfiles = append(f.lockfiles, lock)
		f.spawning(s, spawningGem)
		return
	}
	if base == "package.json" {
		f.spawning(s, spawningPackage)
		return
	}
	if bytes.Contains(s.Text, []byte("<%")) {
		return // a program in Ruby, whose outcome nobody knows
	}
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	if len(docs) == 0 || !docs[0].isMap() {
		return
	}
	top := docs[0]
	set := &settings{name: s.Name, dir: dirOf(s.Name), kind: sidekiqWorker}
	if strings.HasPrefix(base, "ebb.") {
		set.kind = ebbWorker
		set.timeout = top.get("grace").span()
		top.get("handlers").fields(func(_ text, h node) {
			if command := h.get("command"); command.isList() && len(command.list()) > 0 {
				f.spawners = append(f.spawners, command.list()[0].text())
			}
			if limit := h.get("timeout").span(); limit.value > set.commands.value {
				set.commands = limit
			}
		})
	} else {
		for _, section := range []node{top, top.get("production"), top.get(":production")} {
			for _, key := range []string{"timeout", ":timeout"} {
				if t := section.get(key).span(); t.known() {
					set.timeout = t
				}
			}
		}
	}
	if path.Base(set.dir) == "config" {
		set.dir = dirOf(set.dir) // config/sidekiq.yml belongs to the folder above
	}
	f.settings = append(f.settings, set)
}

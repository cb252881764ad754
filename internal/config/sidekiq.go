package config

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// sidekiqKeys are the keys of a sidekiq.yml and what they are here; those without a
// name are taken in their own way, or have no meaning.
var sidekiqKeys = map[string]string{
	"concurrency": "concurrency", "timeout": "timeout", "tag": "tag", "labels": "labels",
	"dead_max_jobs": "dead.max", "dead_timeout_in_seconds": "dead.age",
	"queues": "", "capsules": "", "verbose": "", "strict": "", "environment": "", "require": "",
}

var symbolKey = regexp.MustCompile(`(?m)^:[a-z_]+:(\s|$)`)

// isSidekiq recognises Sidekiq's settings by the file's name or by keys that Ruby
// writes with a colon in front.
func isSidekiq(name string, text []byte) bool {
	return strings.Contains(filepath.Base(name), "sidekiq") || symbolKey.Match(text)
}

// meaningless says why a key of Sidekiq's own means nothing here.
var meaningless = map[string]string{
	"strict":                          "Sidekiq passes over it, too, and has queues without weights in strict order",
	"environment":                     "-e, APP_ENV, RAILS_ENV or RACK_ENV choose the section",
	"require":                         "no Ruby is loaded here",
	"max_retries":                     "each kind of job says how often it is tried again, and 25 times if it does not",
	"average_scheduled_poll_interval": "jobs start within moments of when they are due",
	"poll_interval_average":           "jobs start within moments of when they are due",
	"poll_interval":                   "jobs start within moments of when they are due",
	"pidfile":                         "ebb processes ls shows the number of a process",
	"logfile":                         "logs go to standard error",
	"daemon":                          "ebb stays in the foreground",
	"namespace":                       "keys have no prefix, as in Sidekiq from 7.0 on",
	"limits":                          "a group has slots of its own",
}

// sidekiq reads a sidekiq.yml: its own keys, and over them those of the section that
// the environment chooses. Capsules become groups that all run. What other gems
// keep in the file is passed over, with a warning.
func (l *loader) sidekiq(name string, text []byte) {
	if before, _, erb := bytes.Cut(text, []byte("<%")); erb {
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n')
		l.tell(fmt.Sprintf("%s:%d:%d", name, line, column), "this is ERB, which is a program in Ruby and is not run here: "+
			"write the value itself, or give it by a flag or an EBB_ variable")
		return
	}
	d, list := l.sidekiqFields(name, text)
	for _, f := range list {
		l.sidekiqKey(d, f)
	}
	l.besideCapsules()
	d.report()
}

// sidekiqFields are the keys of a sidekiq.yml that count.
func (l *loader) sidekiqFields(name string, text []byte) (*document, []field) {
	l.s.section = cmp.Or(l.in.Environment, l.in.Getenv("APP_ENV"), l.in.Getenv("RAILS_ENV"), l.in.Getenv("RACK_ENV"), "development")
	d := &document{name: name, symbols: true, tell: l.tell}
	if !d.parse(text) || d.root == nil {
		return d, nil
	}
	list := d.fields(d.root, "keys and values")
	if i := slices.IndexFunc(list, l.isChosen); i >= 0 {
		for _, over := range d.fields(list[i].value, "") {
			list = slices.DeleteFunc(list, func(f field) bool { return f.name == over.name })
			list = append(list, over)
		}
	}
	return d, list
}

// isChosen recognises the section that counts.
func (l *loader) isChosen(f field) bool {
	return f.name == l.s.section && f.value.Kind == yaml.MappingNode
}

// besideCapsules is for the queues that Sidekiq runs beside its capsules: what the file
// has on its first level, unless there is a capsule of the name under which Sidekiq
// itself keeps that.
func (l *loader) besideCapsules() {
	if len(l.s.Groups) == 0 {
		return
	}
	if slices.ContainsFunc(l.s.Groups, func(g Group) bool { return g.Name == ownCapsule }) {
		l.s.Queues = nil
		delete(l.s.from, "queues")
	} else if _, queues := l.s.from["queues"]; !queues {
		l.s.Queues, l.s.from["queues"] = []Queue{{Name: "default"}}, origin{rank: fromFile, source: asSidekiq}
	}
}

const (
	// ownCapsule is what Sidekiq, and the library, call the queues that are in no other
	// capsule.
	ownCapsule = "default"
	// asSidekiq is where these come from if nobody has said them.
	asSidekiq = "default, as Sidekiq's"
)

func (l *loader) sidekiqKey(d *document, f field) {
	name, known := sidekiqKeys[f.name]
	switch {
	case name != "":
		l.value(d, plain(name), f)
	case f.name == "queues":
		if queues, ok := d.queues(f.value, f.key); ok {
			l.s.Queues, l.s.from["queues"] = queues, d.origin(f.key)
		}
	case f.name == "capsules":
		l.groups(d, f.value)
	case f.name == "verbose":
		if text, ok := d.scalar(f.value, "true or false"); ok && text == "true" {
			l.give(plain("log.level"), d.origin(f.key), "debug")
		}
	case known || l.isChosen(f) || f.value.Kind == yaml.MappingNode && d.isSection(f.value):
	default:
		l.s.Warnings = append(l.s.Warnings, Problem{d.place(f.key), meansNothing(f.name)})
	}
}

func meansNothing(name string) string {
	text := name + " means nothing here and is passed over"
	if why := meaningless[name]; why != "" {
		text += ": " + why
	}
	return text
}

// isSection recognises the section of another environment.
func (d *document) isSection(n *yaml.Node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if _, known := sidekiqKeys[d.word(n.Content[i].Value)]; !known && n.Content[i].Tag != "!!merge" {
			return false
		}
	}
	return true
}

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
	l.s.section = cmp.Or(l.in.Environment, l.in.Getenv("APP_ENV"), l.in.Getenv("RAILS_ENV"), l.in.Getenv("RACK_ENV"), "development")
	d := &document{name: name, symbols: true, tell: l.tell}
	defer d.report()
	if !d.parse(text) || d.root == nil {
		return
	}
	list := d.fields(d.root, "keys and values")
	if i := slices.IndexFunc(list, func(f field) bool { return f.name == l.s.section && f.value.Kind == yaml.MappingNode }); i >= 0 {
		for _, over := range d.fields(list[i].value, "") {
			list = slices.DeleteFunc(list, func(f field) bool { return f.name == over.name })
			list = append(list, over)
		}
	}
	for _, f := range list {
		l.sidekiqKey(d, f)
	}
	if _, queues := l.s.from["queues"]; !queues && len(l.s.Groups) > 0 {
		l.s.Queues, l.s.from["queues"] = []Queue{{Name: "default"}}, origin{rank: fromFile, source: "default, as Sidekiq's"}
	}
}

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
	case known || f.value.Kind == yaml.MappingNode && d.isSection(f.value):
	default:
		l.s.Warnings = append(l.s.Warnings, Problem{d.place(f.key), f.name + " means nothing here and is passed over"})
	}
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

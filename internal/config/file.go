package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file reads the settings file, if there is one. A sidekiq.yml cannot say what ebb
// alone has, such as handlers, so that an ebb.yml in the folder counts below it.
func (l *loader) file() {
	name, from := l.in.File, "the flag -C"
	if name == "" {
		name, from = l.in.Getenv("EBB_CONFIG"), "EBB_CONFIG"
	}
	if name == "" {
		l.ownFile()
		return
	}
	text, err := read(l.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.tell(name, "there is no such file, and %s names it", from)
		return
	case err != nil:
		l.tell(name, "%v", err)
		return
	}
	if isSidekiq(name, text) {
		l.ownFile()
	}
	l.s.File = name
	l.text(name, text)
}

// ownFile reads the settings file that nobody has named.
func (l *loader) ownFile() {
	name := l.find()
	if name == "" {
		return
	}
	text, err := read(l.path(name))
	if err != nil {
		l.tell(name, "%v", err)
		return
	}
	l.s.File = name
	l.text(name, text)
}

// text reads what a settings file says.
func (l *loader) text(name string, text []byte) {
	if isSidekiq(name, text) {
		l.sidekiq(name, text)
		return
	}
	d := &document{name: name, tell: l.tell}
	defer d.report()
	if d.parse(text) && d.root != nil {
		l.top(d)
	}
}

// find looks for a file that nobody has named.
func (l *loader) find() string {
	var found []string
	for _, name := range []string{"ebb.yml", "ebb.yaml"} {
		if _, err := os.Stat(l.path(name)); err == nil {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return ""
	case 2:
		l.s.Warnings = append(l.s.Warnings, Problem{found[1], "this is not read, since " + found[0] + " is there"})
	}
	return found[0]
}

func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.in.Dir, name)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unwrapPath(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, unwrapPath(err)
	case len(text) > maxBytes:
		return nil, fmt.Errorf("this is larger than %d KiB, and no settings file", maxBytes>>10)
	}
	return text, nil
}

// unwrapPath leaves out the name, which the place of the problem says already.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// top reads the keys of an ebb.yml. Those that begin with x- are the writer's own,
// to hang anchors on.
func (l *loader) top(d *document) {
	for _, f := range d.fields(d.root, "keys and values") {
		switch {
		case strings.HasPrefix(f.name, "x-"):
		case f.name == "queues":
			if queues, ok := d.queues(f.value, f.key); ok {
				l.s.Queues, l.s.from["queues"] = queues, d.origin(f.key)
			}
		case f.name == "groups":
			l.groups(d, f.value)
		case f.name == "handlers":
			l.handlers(d, f.value)
		default:
			l.plain(d, "", f)
		}
	}
}

// plain reads a key with a plain value, or one that stands above several of them.
func (l *loader) plain(d *document, prefix string, f field) {
	name := prefix + f.name
	if k := plain(name); k != nil {
		l.value(d, k, f)
		return
	}
	if inside := within(name + "."); len(inside) > 0 {
		for _, below := range d.fields(f.value, "keys and values such as "+inside[0]) {
			l.plain(d, name+".", below)
		}
		return
	}
	if home := homeOf(f.name); prefix == "" && home != "" {
		d.at(f.key, "unknown key %q: it belongs below %s", f.name, home)
		return
	}
	d.at(f.key, "%s", unknown("key", f.name, within(prefix)))
}

// homeOf names the key below which a name is known: lease for ttl.
func homeOf(name string) string {
	for _, k := range keys {
		if home, ok := strings.CutSuffix(k.Name, "."+name); ok {
			return home
		}
	}
	return ""
}

// value reads the plain value of a key.
func (l *loader) value(d *document, k *Key, f field) {
	want := wants(k.field(l.s), k.choices)
	texts := []string{}
	if _, list := k.field(l.s).(*[]string); list {
		for _, e := range d.elements(f.value) {
			text, ok := d.scalar(e, "a word")
			if !ok {
				return
			}
			texts = append(texts, d.word(text))
		}
	} else {
		text, ok := d.scalar(f.value, want)
		if !ok {
			return
		}
		texts = append(texts, d.word(text))
	}
	from := d.origin(f.key)
	from.where = d.place(f.value)
	if err := l.set(k, from, texts...); err != nil {
		d.at(f.value, "%v", err)
	}
}

// queues reads a list of queues, each of which is a name, "name,weight",
// [name, weight] or {name: weight}. above is where the list is asked for.
func (d *document) queues(n, above *yaml.Node) (queues []Queue, ok bool) {
	ok = true
	add := func(at *yaml.Node, q Queue, err error) {
		if err == nil && twice(queues, q) {
			err = fmt.Errorf("queue %s is there twice", q.Name)
		}
		if err != nil {
			d.at(at, "%v", err)
			ok = false
			return
		}
		queues = append(queues, q)
	}
	for _, e := range d.elements(n) {
		switch e.Kind {
		case yaml.MappingNode:
			for _, f := range d.fields(e, "") {
				q, err := d.weighted(f.name, f.value)
				add(f.key, q, err)
			}
		case yaml.SequenceNode:
			pair := d.elements(e)
			if len(pair) == 0 || len(pair) > 2 {
				add(e, Queue{}, fmt.Errorf("want [name, weight], got a list of %d", len(pair)))
				continue
			}
			name, isText := d.scalar(pair[0], "the name of a queue")
			if !isText {
				ok = false
				continue
			}
			q, err := d.weighted(d.word(name), pair[len(pair)-1])
			if len(pair) == 1 {
				q, err = newQueue(d.word(name))
			}
			add(e, q, err)
		default:
			name, isText := d.scalar(e, "the name of a queue")
			if !isText {
				ok = false
				continue
			}
			q, err := parseQueue(d.word(name))
			add(e, q, err)
		}
	}
	if ok && len(queues) == 0 {
		d.at(above, "queues: there is none")
		ok = false
	}
	return queues, ok
}

func (d *document) weighted(name string, weight *yaml.Node) (Queue, error) {
	q, err := newQueue(name)
	if err != nil {
		return q, err
	}
	if weight.Kind != yaml.ScalarNode {
		return q, fmt.Errorf("the weight of queue %s must be a whole number above zero, and is %s", name, describe(weight))
	}
	if d.symbols && weight.Value == "0" {
		return q, nil // which is none, to Sidekiq
	}
	q.Weight, err = parseWeight(name, weight.Value)
	return q, err
}

func (l *loader) groups(d *document, n *yaml.Node) {
	for _, f := range d.fields(n, "the names of groups") {
		if err := checkName(f.name); err != nil {
			d.at(f.key, "%v", err)
			continue
		}
		if group, ok := l.group(d, f); ok {
			same := func(g Group) bool { return g.Name == f.name }
			l.s.Groups = append(slices.DeleteFunc(l.s.Groups, same), group)
			l.s.from["groups."+f.name] = d.origin(f.key)
		}
	}
}

func (l *loader) group(d *document, f field) (g Group, ok bool) {
	g.Name, ok = f.name, true
	queues := false
	for _, below := range d.fields(f.value, "keys and values such as queues") {
		read := true
		switch below.name {
		case "queues":
			queues = true
			g.Queues, read = d.queues(below.value, below.key)
		case "concurrency":
			read = l.below(d, below, &g.Concurrency)
		case "grace":
			read = l.below(d, below, &g.Grace)
		default:
			d.at(below.key, "%s", unknown("key", below.name, within("groups.NAME.")))
			read = false
		}
		ok = ok && read
		l.s.from["groups."+f.name+"."+below.name] = d.origin(below.key)
	}
	if !queues {
		d.at(f.key, "the group %s has no queues", f.name)
	}
	return g, ok && queues
}

// below reads a plain value of a group or a handler.
func (l *loader) below(d *document, f field, into any) bool {
	text, ok := d.scalar(f.value, wants(into, nil))
	if !ok {
		return false
	}
	if err := assign(into, nil, text); err != nil {
		d.at(f.value, "%s: %v", f.name, err)
		return false
	}
	return true
}

func (l *loader) handlers(d *document, n *yaml.Node) {
	for _, f := range d.fields(n, "the kinds of jobs") {
		if err := checkName(f.name); err != nil {
			d.at(f.key, "%v", err)
			continue
		}
		if h, ok := l.handler(d, f); ok {
			l.s.Handlers = append(l.s.Handlers, h)
			l.s.from["handlers."+f.name] = d.origin(f.key)
		}
	}
}

func (l *loader) handler(d *document, f field) (h Handler, ok bool) {
	h.Kind, ok = f.name, true
	named := false
	for _, below := range d.fields(f.value, "keys and values such as command") {
		read := true
		switch below.name {
		case "command":
			named = true
			h.Argv, read = d.command(below)
		case "timeout":
			read = l.below(d, below, &h.Timeout)
		case "snooze":
			read = l.below(d, below, &h.Snooze)
		case "dir":
			read = l.below(d, below, &h.Dir)
		case "notice":
			h.Notice, read = d.signal(below)
		case "retry":
			h.Retry, read = d.retry(below)
		case "env":
			h.Env, read = d.env(below)
		default:
			d.at(below.key, "%s", unknown("key", below.name, within("handlers.KIND.")))
			read = false
		}
		ok = ok && read
		l.s.from["handlers."+f.name+"."+below.name] = d.origin(below.key)
	}
	if !named {
		d.at(f.key, "the handler of %s has no command", f.name)
	}
	return h, ok && named
}

// command reads a program and its arguments. A text is refused, for nobody can say
// how a shell would have taken it apart.
func (d *document) command(f field) ([]string, bool) {
	if f.value.Kind == yaml.ScalarNode && !isNull(f.value) {
		d.at(f.value, "want the command as a list, got a text: write command: [%s]", strings.Join(strings.Fields(f.value.Value), ", "))
		return nil, false
	}
	var argv []string
	for _, e := range d.elements(f.value) {
		text, ok := d.scalar(e, "a word of the command")
		if !ok {
			return nil, false
		}
		argv = append(argv, text)
	}
	if len(argv) == 0 || argv[0] == "" {
		d.at(f.key, "command: there is none")
		return nil, false
	}
	if i := slices.IndexFunc(argv, func(s string) bool { return strings.ContainsRune(s, 0) }); i >= 0 {
		d.at(f.value, "command: word %d has a zero byte in it", i+1)
		return nil, false
	}
	return argv, true
}

// retry reads a number of tries, true or false.
func (d *document) retry(f field) (*int, bool) {
	const want = "a whole number, or false for never"
	text, ok := d.scalar(f.value, want)
	if !ok {
		return nil, false
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return &n, true
	}
	switch again, err := parseBool(text); {
	case err != nil:
		d.at(f.value, "retry: want %s, got %q", want, text)
		return nil, false
	case again:
		return nil, true
	}
	return new(0), true
}

// env reads variables. What they are set to may be secret and is quoted nowhere.
func (d *document) env(f field) (env []string, ok bool) {
	if f.value.Kind != yaml.MappingNode && !isNull(f.value) {
		d.at(f.value, "env: want keys and values, such as LANG: C")
		return nil, false
	}
	ok = true
	for _, v := range d.fields(f.value, "") {
		switch {
		case v.name == "" || strings.ContainsAny(v.name, "=\x00"):
			d.at(v.key, "env: %q cannot be the name of a variable", v.name)
		case v.value.Kind != yaml.ScalarNode:
			d.at(v.value, "env: want a text for %s, got %s", v.name, describe(v.value))
		case strings.ContainsRune(v.value.Value, 0):
			d.at(v.value, "env: %s has a zero byte in it", v.name)
		default:
			env = append(env, v.name+"="+v.value.Value)
			continue
		}
		ok = false
	}
	return env, ok
}

package config

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Imported is what ebb makes of Sidekiq's settings.
type Imported struct {
	Text []byte // an ebb.yml
	// Left are the ERB that has to be replaced by hand, and Notes all else that was
	// not taken over, both in the order of the file.
	Left, Notes []Problem
}

// Import reads the sidekiq.yml that in names, and writes what it says as an ebb.yml
// that says the same. ERB is not run: a value that it stands in is left out. Flags
// count over the file, which may be missing if there are any. The error is an *Error
// that names every mistake.
func Import(in Input) (*Imported, error) {
	if in.File == "" {
		return importText(in, nil)
	}
	text, err := read((&loader{in: in}).path(in.File))
	if err != nil {
		return nil, &Error{[]Problem{{in.File, err.Error()}}}
	}
	return importText(in, text)
}

func importText(in Input, text []byte) (*Imported, error) {
	m := &importer{loader: &loader{in: in, s: &Settings{from: map[string]origin{}}}}
	m.file(in.File, text)
	m.flags()
	m.besideCapsules()
	if m.isLeft(spot{key: "queues"}) && m.s.from["queues"].source == asSidekiq {
		m.s.from["queues"] = origin{rank: fromFile, source: "default, until you say which"}
	}
	if len(m.problems) > 0 {
		return nil, &Error{m.problems}
	}
	return &Imported{m.write(), problemsOf(m.left), problemsOf(m.notes)}, nil
}

// importer is a loader of one sidekiq.yml that takes what it can.
type importer struct {
	*loader
	erb   *erb
	holes []hole
	left  []note
	notes []note
}

// spot is where in an ebb.yml something belongs.
type spot struct {
	key   string // a name of Keys, or "groups"; "" if that is not known
	group string // of groups, which one
	below string // and what of it
}

// hole is ERB that was left out.
type hole struct {
	spot
	at span
}

// note is something to tell of a place in the file.
type note struct {
	line, column int
	Problem
}

func problemsOf(notes []note) []Problem {
	slices.SortStableFunc(notes, func(a, b note) int { return cmp.Or(a.line-b.line, a.column-b.column) })
	var list []Problem
	for _, n := range notes {
		list = append(list, n.Problem)
	}
	return list
}

func (m *importer) file(name string, text []byte) {
	m.erb = readERB(name, text, m.tell)
	if len(m.problems) > 0 {
		return
	}
	for _, s := range m.erb.spans {
		switch s.kind {
		case erbLines:
			m.hole(spot{}, s)
		case erbCode:
			m.left = append(m.left, note{s.line, s.column, Problem{m.erb.place(s), "this ERB is not run, and what follows from it is left to you"}})
		}
	}
	d, list := m.sidekiqFields(name, m.erb.covered)
	if m.in.Environment != "" && !slices.ContainsFunc(list, m.isChosen) {
		m.notes = append(m.notes, note{Problem: Problem{name, "there is no section " + m.in.Environment}})
	}
	for _, f := range list {
		m.field(d, f)
	}
	d.report()
}

// field takes over one key.
func (m *importer) field(d *document, f field) {
	name, known := sidekiqKeys[f.name]
	switch f.name {
	case "capsules":
		name = "groups"
	case "verbose":
		name = "log.level"
	case "queues":
		name = "queues"
	}
	switch {
	case m.erb.opens(f.name):
		m.hole(spot{}, m.erb.in(f.key))
	case known && name == "":
		m.note(d, f, meansNothing(f.name))
	case m.isChosen(f):
	case !known && f.value.Kind == yaml.MappingNode && len(f.value.Content) > 0 && d.isSection(f.value):
		m.note(d, f, "this is the section of another environment, which -e "+f.name+" takes over")
	case !known:
		m.note(d, f, meansNothing(f.name))
	default:
		value := m.bare(d, spot{key: name}, f.value, false)
		switch {
		case value == nil:
		case isNull(value) || value.Kind != yaml.ScalarNode && len(value.Content) == 0:
			m.note(d, f, f.name+" has no value")
		default:
			m.sidekiqKey(d, field{f.name, f.key, value})
		}
	}
}

func (m *importer) note(d *document, f field, text string) {
	m.notes = append(m.notes, note{f.key.Line, f.key.Column, Problem{d.place(f.key), text}})
}

func (m *importer) hole(in spot, at span) {
	if slices.ContainsFunc(m.in.Flags, func(f Flag) bool { return f.Key == in.key }) {
		return // a flag says it
	}
	what := "this value"
	if at.kind == erbLines {
		what = "what it writes"
	}
	m.left = append(m.left, note{at.line, at.column, Problem{m.erb.place(at), "this ERB is not run: " + what + " is left to you"}})
	m.holes = append(m.holes, hole{in, at})
}

// bare is a value without what is ERB in it; nil if nothing is left of it. A queue
// whose name is ERB goes with its weight, and a capsule goes with its queues.
func (m *importer) bare(d *document, in spot, n *yaml.Node, listed bool) *yaml.Node {
	n = resolve(n)
	switch {
	case n.Kind == yaml.ScalarNode && m.erb.opens(n.Value):
		m.hole(in, m.erb.in(n))
		return nil
	case len(n.Content) == 0:
		return n
	}
	left := *n
	left.Content = nil
	if n.Kind == yaml.SequenceNode {
		for i, e := range n.Content {
			if e = m.bare(d, in, e, true); e != nil {
				left.Content = append(left.Content, e)
			} else if listed && i == 0 {
				return nil
			}
		}
	} else if !m.bareFields(d, in, n, &left) {
		return nil
	}
	if len(left.Content) == 0 {
		return nil
	}
	return &left
}

// bareFields is bare for keys and values, which it adds to left; false if what is left
// cannot do without what is not.
func (m *importer) bareFields(d *document, in spot, n, left *yaml.Node) bool {
	for _, f := range d.fields(n, "") {
		if m.erb.opens(f.name) {
			m.hole(in, m.erb.in(f.key))
			continue
		}
		below := in
		switch {
		case in.key != "groups":
		case in.group == "":
			below.group = f.name
		case in.below == "":
			below.below = f.name
		}
		value := m.bare(d, below, f.value, false)
		switch {
		case value != nil:
			left.Content = append(left.Content, f.key, value)
		case in.below == "" && below.below == "queues":
			return false
		}
	}
	return true
}

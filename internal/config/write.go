package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// page is an ebb.yml in the making.
type page []pageLine

type pageLine struct {
	text, note string // a note alone is a comment of its own
	indent     int
}

func (p *page) line(indent int, text, note string) {
	*p = append(*p, pageLine{text, note, indent})
}

// noteColumn is how far to the right a note is moved to stand below others.
const noteColumn = 32

func (p page) text() []byte {
	column := 0
	for _, l := range p {
		if width := l.indent + utf8.RuneCountInString(l.text); l.note != "" && width <= noteColumn {
			column = max(column, width)
		}
	}
	var b strings.Builder
	for _, l := range p {
		text := strings.Repeat(" ", l.indent) + l.text
		if l.note != "" && l.text != "" {
			text = fmt.Sprintf("%-*s  ", column, text)
		}
		if l.note != "" {
			text += "# " + strings.Map(visible, l.note)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	return []byte(b.String())
}

// visible keeps a comment within its line, and YAML content with it.
func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case r == utf8.RuneError || !unicode.IsPrint(r):
		return '?'
	}
	return r
}

// write makes an ebb.yml of what was read, in which each value has a comment with where it comes
// from, and what was left out stands where it belongs.
func (m *importer) write() []byte {
	p := &page{}
	from := "a command"
	if m.in.File != "" {
		from = m.in.File + ", as in the environment " + m.s.section
	}
	p.line(0, "", "Settings of ebb work, written by ebb import from "+from+".")
	p.line(0, "", "The store is not said here: it is that of REDIS_PROVIDER or REDIS_URL, as Sidekiq's is.")
	p.line(0, "", "Nor is what runs the jobs: programs, below handlers, or Go. ebb config keys explains all keys.")
	m.holesOf(p, spot{}, 0)
	p.line(0, "", "")
	for _, k := range keys {
		switch {
		case k.Name == "queues":
			if len(m.s.Groups) == 0 {
				m.queues(p, 0, m.s.Queues, "queues", spot{key: "queues"})
			}
		case k.Name == "groups.NAME.queues":
			m.groupsTo(p)
		case k.field != nil:
			m.plainTo(p, k)
		}
	}
	return p.text()
}

// plainTo writes a plain value, or why there is none.
func (m *importer) plainTo(p *page, k Key) {
	above, name, nested := strings.Cut(k.Name, ".")
	here, given := m.s.from[k.Name]
	given = given && here.rank >= fromFile
	left := m.isLeft(spot{key: k.Name})
	indent := 0
	if nested {
		indent = 2
		head := above + ":"
		if (given || left) && !slices.ContainsFunc(*p, func(l pageLine) bool { return l.text == head }) {
			p.line(0, head, "")
		}
	} else {
		name = k.Name
	}
	if given {
		note := here.source
		if k.Name == "timeout" {
			note += fmt.Sprintf("; it makes grace %s, unless that is said", formatDuration(lifecycle.GraceFor(m.s.Timeout).Round(100*time.Millisecond)))
		}
		p.line(indent, name+": "+written(k.field(m.s)), note)
	}
	m.holesOf(p, spot{key: k.Name}, indent)
	switch {
	case given || left:
	case k.Name == "concurrency":
		p.line(0, "", "concurrency is not said: 10, as in Sidekiq up to 6. From 7 on Sidekiq has 5.")
	case k.Name == "timeout":
		p.line(0, "", "timeout is not said, which to Sidekiq is 25s. Here jobs have what grace leaves.")
	}
}

// groupsTo writes the capsules. Sidekiq runs its own queues beside them; ebb work runs
// either queues or groups, so that they are a group as well.
func (m *importer) groupsTo(p *page) {
	groups := m.s.Groups
	if len(groups) == 0 {
		m.holesIn(p, 0, func(at spot) bool { return at.key == "groups" })
		return
	}
	p.line(0, "groups:", "all run")
	if len(m.s.Queues) > 0 {
		p.line(2, ownCapsule+":", "Sidekiq's own queues, beside its capsules")
		m.queues(p, 4, m.s.Queues, "queues", spot{key: "queues"})
	}
	for _, g := range groups {
		key := "groups." + g.Name
		p.line(2, quoted(g.Name)+":", m.s.from[key].source)
		m.queues(p, 4, g.Queues, key+".queues", spot{"groups", g.Name, "queues"})
		if g.Concurrency > 0 {
			p.line(4, "concurrency: "+written(&g.Concurrency), m.s.from[key+".concurrency"].source)
		}
		if g.Grace > 0 {
			p.line(4, "grace: "+written(&g.Grace), m.s.from[key+".grace"].source)
		}
		m.holesIn(p, 4, func(at spot) bool { return at.group == g.Name && at.below != "queues" })
	}
	m.holesIn(p, 2, func(at spot) bool {
		return at.key == "groups" && !slices.ContainsFunc(groups, func(g Group) bool { return g.Name == at.group })
	})
}

// queues writes a list of queues, with the order that follows from it.
func (m *importer) queues(p *page, indent int, queues []Queue, key string, in spot) {
	if len(queues) > 0 {
		note := m.s.from[key].source
		if !m.isLeft(in) && !m.isLeft(spot{}) { // or nobody knows
			note += ", " + order(queues)
		}
		p.line(indent, "queues:", note)
	}
	for _, q := range queues {
		text := quoted(q.Name)
		if q.Weight > 0 {
			text = fmt.Sprintf("[%s, %d]", text, q.Weight)
		} else if strings.Contains(q.Name, ",") {
			text = "[" + text + "]" // no weight follows the comma
		}
		p.line(indent+2, "- "+text, "")
	}
	if len(queues) > 0 {
		indent += 2
	}
	m.holesOf(p, in, indent)
}

// order says in which order a list of queues is looked at.
func order(queues []Queue) string {
	_, weights := split(queues)
	switch {
	case weights == nil:
		return "in strict order"
	case slices.Max(slices.Collect(maps.Values(weights))) == 1:
		return "at random"
	}
	return "by weight"
}

func (m *importer) isLeft(in spot) bool {
	return slices.ContainsFunc(m.holes, func(h hole) bool { return h.spot == in })
}

// holesOf writes what was left out there.
func (m *importer) holesOf(p *page, in spot, indent int) {
	m.holesIn(p, indent, func(at spot) bool { return at == in })
}

// holesIn writes what was left out in some spots, as it stood in the file.
func (m *importer) holesIn(p *page, indent int, belongs func(spot) bool) {
	for _, h := range m.holes {
		if !belongs(h.spot) {
			continue
		}
		p.line(indent, "", m.erb.place(h.at)+" is ERB, which is not run. Left out:")
		lines := m.erb.lines(h.at)
		margin := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " \t"))]
		for _, line := range lines {
			p.line(indent, "", "  "+store.Redact(strings.TrimRight(strings.TrimPrefix(line, margin), " \t\r")))
		}
	}
}

// written is a plain value as a file has it.
func written(field any) string {
	list, ok := field.(*[]string)
	if !ok {
		return quoted(format(field))
	}
	words := make([]string, len(*list))
	for i, word := range *list {
		words[i] = quoted(word)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_/][A-Za-z0-9_./-]*$`)

// quoted is a text as YAML has it.
func quoted(text string) string {
	if plainWord.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	b, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: yaml.DoubleQuotedStyle})
	if err != nil {
		return `""`
	}
	return strings.TrimSuffix(string(b), "\n")
}

package doctor

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a value of a YAML or JSON file that knows where it stands. The zero node
// is one that is not there; whatever is looked for in it is not there either.
type node struct {
	file string
	n    *yaml.Node
}

var (
	yamlLine = regexp.MustCompile(`line (\d+): `)
	// The package counts lines from zero where its parser, and not its scanner, is the
	// one to complain.
	yamlFromZero = regexp.MustCompile(`did not find expected (<document start>|node content|'-' indicator|key|',' or)`)
)

// documents reads the documents of a YAML file. What comes before a broken one is
// returned with the problem.
func documents(s Source) (list []node, problem *Problem) {
	dec := yaml.NewDecoder(bytes.NewReader(s.Text))
	for {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			p := Problem{At: Place{s.Name, 1}, Text: "this is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
			if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
				p.At.Line, _ = strconv.Atoi(m[1]) // digits
				if yamlFromZero.MatchString(err.Error()) {
					p.At.Line++
				}
				p.Text = strings.Replace(p.Text, m[0], "", 1)
			}
			return list, &p
		case len(doc.Content) == 1:
			list = append(list, node{s.Name, doc.Content[0]}.resolve())
		}
	}
}

func (d node) resolve() node {
	for i := 0; d.n != nil && d.n.Kind == yaml.AliasNode && i < 8; i++ {
		d.n = d.n.Alias
	}
	return d
}

func (d node) there() bool {
	return d.n != nil && !(d.n.Kind == yaml.ScalarNode && d.n.ShortTag() == "!!null")
}

func (d node) at() Place {
	if d.n == nil {
		return Place{}
	}
	return Place{d.file, d.n.Line}
}

// get follows keys down. A key may be in any of the casings of the format: the first
// letter does not count.
func (d node) get(keys ...string) node {
	for _, key := range keys {
		d = d.field(key, 8)
	}
	return d
}

func (d node) field(key string, depth int) node {
	if d.n == nil || d.n.Kind != yaml.MappingNode || depth == 0 {
		return node{}
	}
	merged := node{}
	for i := 0; i+1 < len(d.n.Content); i += 2 {
		value := node{d.file, d.n.Content[i+1]}.resolve()
		switch name := d.n.Content[i]; {
		case name.Value == key, len(key) > 0 && len(name.Value) == len(key) && name.Value[1:] == key[1:] && strings.EqualFold(name.Value[:1], key[:1]):
			return value
		case name.ShortTag() == "!!merge" && merged.n == nil:
			sources := []node{value}
			if value.n.Kind == yaml.SequenceNode {
				sources = value.list()
			}
			for _, s := range sources {
				if found := s.field(key, depth-1); found.n != nil && merged.n == nil {
					merged = found
				}
			}
		}
	}
	return merged
}

func (d node) isList() bool { return d.n != nil && d.n.Kind == yaml.SequenceNode }
func (d node) isMap() bool  { return d.n != nil && d.n.Kind == yaml.MappingNode }

// list are the elements of a list.
func (d node) list() (all []node) {
	if d.isList() {
		for _, n := range d.n.Content {
			all = append(all, node{d.file, n}.resolve())
		}
	}
	return all
}

// fields calls visit for each key of a mapping, its own only.
func (d node) fields(visit func(key text, value node)) {
	if !d.isMap() {
		return
	}
	for i := 0; i+1 < len(d.n.Content); i += 2 {
		visit(text{d.n.Content[i].Value, Place{d.file, d.n.Content[i].Line}}, node{d.file, d.n.Content[i+1]}.resolve())
	}
}

// text is a value that is neither list nor mapping.
func (d node) text() text {
	if !d.there() || d.n.Kind != yaml.ScalarNode {
		return text{}
	}
	return text{d.n.Value, d.at()}
}

func (d node) number() (int, bool) {
	n, err := strconv.Atoi(d.text().value)
	return n, err == nil
}

func (d node) isTrue() bool { return strings.EqualFold(d.text().value, "true") }

// span is a number of seconds or a length of time.
func (d node) span() span {
	if t := d.text(); t.at.known() {
		if value, ok := seconds(t.value); ok {
			return span{value, t.at, t.value}
		}
	}
	return span{}
}

// words are those of a command that is written as a list.
func (d node) words() (words []word) {
	for _, e := range d.list() {
		words = append(words, e.text())
	}
	return words
}

// command is one that is written as a list; nil if there is none.
func (d node) command() *command {
	if !d.isList() {
		return nil
	}
	return &command{at: d.at(), words: d.words()}
}

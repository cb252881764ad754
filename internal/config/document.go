package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What a settings file may hold. A file is read whole before anything is known of
// it, and its aliases may multiply what it says.
const (
	maxBytes  = 1 << 20
	maxValues = 100_000
	maxDepth  = 32
)

// document is a YAML file that knows where each of its values stands.
type document struct {
	name string
	root *yaml.Node // nil: the file says nothing
	tell func(where, format string, args ...any)
	// found are mistakes, in the order in which they were met.
	found []found
	// symbols: a colon before a key or a word is none of its letters, as in Ruby.
	symbols bool
}

// found is a mistake and where it stands.
type found struct {
	at   *yaml.Node
	text string
}

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	// The package counts lines from zero where its parser, and not its scanner, is the
	// one to complain.
	fromZero = regexp.MustCompile(`^did not find expected (<document start>|node content|'-' indicator|key|',' or)`)
)

// parse reads the file's text. What is wrong with it as YAML is told; ok is false
// then.
func (d *document) parse(text []byte) (ok bool) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return true
	case err != nil:
		d.notYAML(text, err)
		return false
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.notYAML(text, err)
		return false
	default:
		d.at(&second, "a second document begins here, and only one is read")
		return false
	}
	d.root = doc.Content[0]
	if !d.fits() {
		return false
	}
	if isNull(d.root) {
		d.root = nil
	} else if resolve(d.root).Kind != yaml.MappingNode {
		d.at(d.root, "want lines of the form key: value, got %s", describe(d.root))
		return false
	}
	return true
}

// notYAML tells what the parser has found, which leaves out the line when it is
// the first.
func (d *document) notYAML(text []byte, err error) {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		d.tell(d.name, "this is not YAML: %v", err)
		return
	}
	line, _ := strconv.Atoi(m[1])
	if line > 0 && fromZero.MatchString(m[2]) {
		line++
	}
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	line = min(max(line, 1), len(lines))
	hint := ""
	if bytes.HasPrefix(bytes.TrimLeft(lines[line-1], " "), []byte("\t")) {
		hint = " (the line begins with a tab, and YAML is indented by spaces)"
	}
	d.tell(fmt.Sprintf("%s:%d", d.name, line), "this is not YAML: %s%s", m[2], hint)
}

// fits refuses a document that is nested deeply, says too much once its aliases are
// written out, or contains itself.
func (d *document) fits() bool {
	weights := map[*yaml.Node]int{}
	const open = -1
	var weigh func(n *yaml.Node, depth int) (int, bool)
	weigh = func(n *yaml.Node, depth int) (int, bool) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if w, seen := weights[n]; seen && w == open {
			d.at(n, "the anchor %q contains itself", n.Anchor)
			return 0, false
		} else if seen {
			return w, true
		}
		if depth > maxDepth {
			d.at(n, "this is nested more than %d deep", maxDepth)
			return 0, false
		}
		weights[n] = open
		sum := 1
		for _, child := range n.Content {
			w, ok := weigh(child, depth+1)
			if !ok {
				return 0, false
			}
			if sum += w; sum > maxValues {
				d.at(n, "with all aliases written out there are more than %d values", maxValues)
				return 0, false
			}
		}
		weights[n] = sum
		return sum, true
	}
	_, ok := weigh(d.root, 0)
	return ok
}

// place is where n stands, for messages.
func (d *document) place(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", d.name, n.Line, n.Column)
}

// origin is the same for a setting, whose source is told without the column.
func (d *document) origin(n *yaml.Node) origin {
	return origin{rank: fromFile, source: fmt.Sprintf("%s:%d", d.name, n.Line), where: d.place(n)}
}

// at keeps a mistake for report.
func (d *document) at(n *yaml.Node, format string, args ...any) {
	d.found = append(d.found, found{n, fmt.Sprintf(format, args...)})
}

// report tells what was found, in the order in which one reads.
func (d *document) report() {
	slices.SortStableFunc(d.found, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column))
	})
	for _, f := range d.found {
		d.tell(d.place(f.at), "%s", f.text)
	}
}

// field is one key of a mapping.
type field struct {
	name       string
	key, value *yaml.Node
}

// fields are the keys of a mapping, those that it merges in after its own. Anything
// but a mapping is told of, and has none; a value that is left out has none either.
func (d *document) fields(n *yaml.Node, what string) []field {
	n = resolve(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.at(n, "want %s, got %s", what, describe(n))
		return nil
	}
	var list []field
	var merges []*yaml.Node
	known := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		if key.Tag == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.at(key, "want a word as the key, got %s", describe(key))
			continue
		}
		name := d.word(key.Value)
		if first := known[name]; first != nil {
			d.at(key, "%s is there twice, first in line %d", name, first.Line)
			continue
		}
		known[name] = key
		list = append(list, field{name, key, value})
	}
	for _, m := range merges {
		sources := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			sources = m.Content
		}
		for _, source := range sources {
			for _, f := range d.fields(source, "keys and values to merge") {
				if known[f.name] == nil {
					known[f.name] = f.key
					list = append(list, f)
				}
			}
		}
	}
	return list
}

// elements are those of a list; a lone value is a list of one.
func (d *document) elements(n *yaml.Node) []*yaml.Node {
	n = resolve(n)
	switch {
	case isNull(n):
		return nil
	case n.Kind != yaml.SequenceNode:
		return []*yaml.Node{n}
	}
	list := make([]*yaml.Node, len(n.Content))
	for i, e := range n.Content {
		list[i] = resolve(e)
	}
	return list
}

// scalar is the text of a value that is no list and no mapping, as it is written:
// a release of 1.10 stays that.
func (d *document) scalar(n *yaml.Node, want string) (string, bool) {
	n = resolve(n)
	switch {
	case n.Kind != yaml.ScalarNode || isNull(n):
		d.at(n, "want %s, got %s", want, describe(n))
	case !strings.HasPrefix(n.ShortTag(), "!!"):
		d.at(n, "want %s, got something of the type %s", want, n.Tag)
	default:
		return n.Value, true
	}
	return "", false
}

// word takes the colon of a symbol away.
func (d *document) word(s string) string {
	if d.symbols {
		s = strings.TrimPrefix(s, ":")
	}
	return s
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a value is, for somebody who wrote another.
func describe(n *yaml.Node) string {
	switch n = resolve(n); {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case isNull(n):
		return "nothing"
	case len(n.Value) > 40:
		return "a text"
	}
	return strconv.Quote(n.Value)
}

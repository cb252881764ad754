package config

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// erb is a text with its ERB covered up: what is left stands where it stood, so that
// it can be read as YAML.
type erb struct {
	name string
	text string // as it was
	// cover stands for each character of a value that Ruby would make. The text itself
	// has none.
	cover   rune
	covered []byte
	// spans are all that Ruby would run, in their order; a block, such as from an if to
	// its end, is one.
	spans []span
}

// span is ERB from one byte of the text to another.
type span struct {
	from, to     int
	kind         spanKind
	line, column int
}

type spanKind int

const (
	erbComment spanKind = iota // says nothing
	erbCode                    // runs, and says nothing
	erbValue                   // a value, or a part of one
	erbLines                   // whole lines that Ruby writes or leaves out
)

const maxTags = 1000

var (
	erbTag    = regexp.MustCompile(`(?s)<%(?:%|(.*?)%>)`)
	erbOpens  = regexp.MustCompile(`^(if|unless|case|while|until|for|begin)\b|(\bdo|\{)\s*(\|[^|]*\|)?$`)
	erbCloses = regexp.MustCompile(`^(end\b|\})`)
	erbWhole  = regexp.MustCompile(`\bend$`) // an if with its end in one tag
)

// readERB finds the ERB in a text. A tag or a block that does not end is a mistake,
// and where it begins is told.
func readERB(name string, text []byte, tell func(where, format string, args ...any)) *erb {
	e := &erb{name: name, text: string(text), cover: '\uE000'}
	for strings.ContainsRune(e.text, e.cover) {
		e.cover++
	}
	depth, last := 0, 0
	for i, m := range erbTag.FindAllStringSubmatchIndex(e.text, maxTags+1) {
		if i == maxTags {
			tell(e.place(e.at(m[0], m[1], erbCode)), "this is ERB tag %d, and more than that are no settings", i+1)
			return e
		}
		last = m[1]
		tag, code := e.tag(m)
		opens := erbOpens.MatchString(code) && !erbWhole.MatchString(code)
		switch {
		case depth == 0:
			e.spans = append(e.spans, tag)
			if opens {
				e.spans[len(e.spans)-1].kind = erbLines
				depth = 1
			}
			continue
		case tag.kind == erbComment:
		case opens:
			depth++
		case erbCloses.MatchString(code):
			depth--
		}
		e.spans[len(e.spans)-1].to = m[1]
	}
	if at := strings.Index(e.text[last:], "<%"); at >= 0 {
		open := e.at(last+at, len(e.text), erbCode)
		tell(e.place(open), "this ERB tag has no end")
	} else if depth > 0 {
		tell(e.place(e.spans[len(e.spans)-1]), "this block of ERB has no end")
	}
	e.coverUp()
	return e
}

// tag is what m has found, and the Ruby in it.
func (e *erb) tag(m []int) (span, string) {
	kind, code := erbValue, "" // <%% stands for <%
	if m[2] >= 0 {
		code = e.text[m[2]:m[3]]
		switch {
		case strings.HasPrefix(strings.TrimPrefix(code, "-"), "#"):
			kind = erbComment
		case !strings.HasPrefix(code, "="):
			kind = erbCode
		}
		code = strings.TrimSpace(strings.TrimSuffix(strings.TrimLeft(code, "=-"), "-"))
	}
	return e.at(m[0], m[1], kind), code
}

func (e *erb) at(from, to int, kind spanKind) span {
	start := strings.LastIndexByte(e.text[:from], '\n') + 1
	return span{from, to, kind, strings.Count(e.text[:from], "\n") + 1, utf8.RuneCountInString(e.text[start:from]) + 1}
}

func (e *erb) place(s span) string { return fmt.Sprintf("%s:%d:%d", e.name, s.line, s.column) }

// coverUp decides for each span whether a value is left open by it, and covers it.
// Whatever stands in a comment of YAML leaves nothing open.
func (e *erb) coverUp() {
	var b bytes.Buffer
	end := 0
	for i := range e.spans {
		s := &e.spans[i]
		before, inside := e.text[strings.LastIndexByte(e.text[:s.from], '\n')+1:s.from], e.text[s.from:s.to]
		after, _, _ := strings.Cut(e.text[s.to:], "\n")
		first := strings.TrimSpace(before)
		switch {
		case s.kind == erbValue && strings.HasPrefix(first, "#"):
			s.kind = erbComment
		case s.kind == erbValue && first == "" && strings.TrimSpace(after) == "":
			s.kind = erbLines
		case s.kind == erbLines && first != "" && !strings.HasPrefix(first, "#") && !strings.Contains(inside, "\n"):
			s.kind = erbValue // <% if x %>5<% else %>10<% end %>
		}
		b.WriteString(e.text[end:s.from])
		end = s.to
		with := ' '
		if s.kind == erbValue {
			with = e.cover
		}
		for _, r := range inside {
			if r == '\n' {
				with = ' ' // the rest of a tag of several lines is no line of its own
				b.WriteByte('\n')
				continue
			}
			b.WriteRune(with)
		}
	}
	b.WriteString(e.text[end:])
	e.covered = b.Bytes()
}

// opens reports whether a text was left open by ERB.
func (e *erb) opens(text string) bool { return strings.ContainsRune(text, e.cover) }

// in is the first ERB of a value.
func (e *erb) in(n *yaml.Node) span {
	i := slices.IndexFunc(e.spans, func(s span) bool {
		return s.kind == erbValue && (s.line > n.Line || s.line == n.Line && s.column >= n.Column)
	})
	return e.spans[max(i, 0)]
}

// lines are those of the file that a span is in.
func (e *erb) lines(s span) []string {
	from := strings.LastIndexByte(e.text[:s.from], '\n') + 1
	to := len(e.text)
	if at := strings.IndexByte(e.text[s.to:], '\n'); at >= 0 {
		to = s.to + at
	}
	return strings.Split(e.text[from:to], "\n")
}

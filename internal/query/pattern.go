package query

import (
	"slices"
	"strings"
	"unicode"
)

// pattern is a name, or what a name begins or ends with.
type pattern struct {
	text       string
	head, tail bool // anything may stand before, after it
}

func (p pattern) match(s string) bool {
	switch {
	case p.text == "" && (p.head || p.tail):
		return s != ""
	case p.head && p.tail:
		return strings.Contains(s, p.text)
	case p.head:
		return strings.HasSuffix(s, p.text)
	case p.tail:
		return strings.HasPrefix(s, p.text)
	}
	return s == p.text
}

func (p pattern) whole() bool { return !p.head && !p.tail }

func (p pattern) String() string {
	if p.text == "" && (p.head || p.tail) {
		return "*"
	}
	text := p.text
	if text == "" || strings.ContainsFunc(text, special) || text[0] == '*' || text[len(text)-1] == '*' {
		text = quote(text)
	}
	if p.head {
		text = "*" + text
	}
	if p.tail {
		text += "*"
	}
	return text
}

// special are the characters that a value must be quoted for.
func special(r rune) bool { return r == '"' || r == '\\' || r == ',' || unicode.IsSpace(r) }

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quote(s string) string { return `"` + escapes.Replace(s) + `"` }

// anyOf are alternatives.
type anyOf []pattern

func (list anyOf) match(s string) bool {
	return slices.ContainsFunc(list, func(p pattern) bool { return p.match(s) })
}

func (list anyOf) String() string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

// missed reports that no alternative can be in the payload.
func (list anyOf) missed(r *raw) bool {
	return !slices.ContainsFunc(list, func(p pattern) bool { return !r.lacks(p.text, false) })
}

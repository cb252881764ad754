package query

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ebbjobs/ebb/internal/nearest"
)

// SyntaxError is a term that cannot be understood.
type SyntaxError struct {
	Query          string
	Offset, Length int    // of the term, in bytes
	Reason         string // what is wrong with it
	Try            string // what to do about it; may be empty
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("query: %s: %s", e.Query[e.Offset:e.Offset+e.Length], e.Reason)
}

// Hint is what to do about it.
func (e *SyntaxError) Hint() string { return e.Try }

// Fields are the names of the fields.
func Fields() []string {
	return []string{"kind", "queue", "state", "error", "group", "jid", "tag", "args", "try", "after", "before", "interrupted", "version"}
}

// Parse reads a query. What its moments are relative to is now, in whose time zone
// hours and days are. An error is a *SyntaxError.
func Parse(text string, now time.Time) (*Query, error) {
	q := &Query{}
	for offset := 0; ; {
		start, end := nextWord(text, offset)
		if start == end {
			return q, nil
		}
		offset = end
		word := text[start:end]
		rest, not := word, false
		if len(word) > 1 && (word[0] == '-' || word[0] == '!') {
			rest, not = word[1:], true
		}
		c, err := parseTerm(rest, now)
		if err != nil {
			err.Query, err.Offset, err.Length = text, start, end-start
			return nil, err
		}
		q.terms = append(q.terms, term{not, c})
	}
}

// nextWord finds the next term: up to a space that is not in quotes.
func nextWord(text string, from int) (start, end int) {
	start = from + strings.IndexFunc(text[from:], func(r rune) bool { return !unicode.IsSpace(r) })
	if start < from {
		return len(text), len(text)
	}
	quoted := false
	for end = start; end < len(text); {
		r, size := utf8.DecodeRuneInString(text[end:])
		switch {
		case quoted && isEscape(text[end:]):
			size = 2
		case r == '"':
			quoted = !quoted
		case !quoted && unicode.IsSpace(r):
			return start, end
		}
		end += size
	}
	return start, end
}

// isEscape reports whether s, which stands in quotes, begins with an escape.
func isEscape(s string) bool {
	return len(s) > 1 && s[0] == '\\' && (s[1] == '"' || s[1] == '\\')
}

func parseTerm(word string, now time.Time) (condition, *SyntaxError) {
	if n := strings.Count(word, `"`); n > 0 && !balanced(word) {
		return nil, &SyntaxError{Reason: "a quote is not closed", Try: `close it, or write \" inside quotes for a quote`}
	}
	i := strings.IndexAny(word, `:=<>"`)
	if i <= 0 || word[i] == '"' {
		return newText(word), nil
	}
	name, op, value := word[:i], word[i:i+1], word[i+1:]
	if op != ":" && op != "=" && strings.HasPrefix(value, "=") {
		op, value = op+"=", value[1:]
	}
	if path, ok := strings.CutPrefix(name+".", "args."); ok && (op == ":" || op == "=") {
		return parseArgument(strings.TrimSuffix(path, "."), value)
	}
	parse, known := fields[name]
	switch {
	case known && name == "try":
		return parseTries(op, value)
	case known && op != ":":
		return nil, &SyntaxError{Reason: name + " takes a colon", Try: fmt.Sprintf("write %s:%s", name, value)}
	case known && value == "":
		return nil, &SyntaxError{Reason: "no value", Try: fmt.Sprintf(`quote it to search for the text: "%s"`, word)}
	case known:
		return parse(value, now)
	case looksLikeField(name, op, value):
		return nil, unknownField(name, word)
	}
	return newText(word), nil
}

func balanced(word string) bool {
	quoted := false
	for i := 0; i < len(word); i++ {
		switch {
		case quoted && isEscape(word[i:]):
			i++
		case word[i] == '"':
			quoted = !quoted
		}
	}
	return !quoted
}

var fieldName = regexp.MustCompile(`^[a-z][a-z_]*$`)

// looksLikeField tells a field that does not exist from text with a colon in it, as
// in Stripe::CardError, https://example or 14:00.
func looksLikeField(name, op, value string) bool {
	if !fieldName.MatchString(name) {
		return false
	}
	if op == ":" {
		return value != "" && value[0] != ':' && value[0] != '/'
	}
	_, err := strconv.Atoi(value)
	return op != "=" && err == nil
}

func unknownField(name, word string) *SyntaxError {
	e := &SyntaxError{Reason: fmt.Sprintf("unknown field %q", name)}
	if near := nearest.To(name, Fields()); near != "" {
		e.Try = fmt.Sprintf("did you mean %s? To search for the text, quote it", near)
	} else {
		e.Try = fmt.Sprintf(`to search for the text, quote it: "%s"; fields are %s`, word, strings.Join(Fields(), ", "))
	}
	return e
}

// fields read the value of each field. Try and args, which compare, are not called.
var fields = map[string]func(value string, now time.Time) (condition, *SyntaxError){
	"kind":    func(v string, _ time.Time) (condition, *SyntaxError) { return &kindIs{parseAnyOf(v)}, nil },
	"queue":   func(v string, _ time.Time) (condition, *SyntaxError) { return &queueIs{parseAnyOf(v)}, nil },
	"tag":     func(v string, _ time.Time) (condition, *SyntaxError) { return &tagIs{parseAnyOf(v)}, nil },
	"error":   func(v string, _ time.Time) (condition, *SyntaxError) { return newErrorIs(parseAnyOf(v)), nil },
	"group":   func(v string, _ time.Time) (condition, *SyntaxError) { return &groupIs{parseAnyOf(v)}, nil },
	"version": func(v string, _ time.Time) (condition, *SyntaxError) { return &versionIs{parseAnyOf(v)}, nil },
	"jid":     func(v string, _ time.Time) (condition, *SyntaxError) { return parseJID(v) },
	"state":   func(v string, _ time.Time) (condition, *SyntaxError) { return parseState(v) },
	"after":   parseAfter,
	"before":  parseBefore,
	"interrupted": func(v string, _ time.Time) (condition, *SyntaxError) {
		switch v {
		case "yes", "true":
			return interrupted(true), nil
		case "no", "false":
			return interrupted(false), nil
		}
		return nil, &SyntaxError{Reason: "neither yes nor no", Try: "write interrupted:yes or interrupted:no"}
	},
	"try": nil,
}

// parseAnyOf reads alternatives: between commas, with a * at either end for
// anything. In quotes both mean themselves.
func parseAnyOf(value string) anyOf {
	var list anyOf
	var p pattern
	var text strings.Builder
	quoted, began := false, false
	end := func() {
		p.text = text.String()
		list = append(list, p)
		p, began = pattern{}, false
		text.Reset()
	}
	for i := 0; i < len(value); i++ {
		c := value[i]
		last := i+1 == len(value) || value[i+1] == ','
		switch {
		case c == '"':
			quoted, began = !quoted, true
			continue
		case quoted && isEscape(value[i:]):
			i++
			c = value[i]
		case quoted:
		case c == ',':
			end()
			continue
		case c == '*' && !began:
			p.head, began = true, true
			continue
		case c == '*' && last:
			p.tail = true
			continue
		}
		began = true
		text.WriteByte(c)
	}
	end()
	return list
}

// unquote takes the quotes out of a word.
func unquote(word string) string {
	if !strings.Contains(word, `"`) {
		return word
	}
	var text strings.Builder
	quoted := false
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] == '"':
			quoted = !quoted
			continue
		case quoted && isEscape(word[i:]):
			i++
		}
		text.WriteByte(word[i])
	}
	return text.String()
}

var wholeJID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// newText is a word without a field.
func newText(word string) condition {
	if wholeJID.MatchString(word) {
		return newJIDIs(anyOf{{text: word}})
	}
	return newContains(unquote(word))
}

func parseJID(value string) (condition, *SyntaxError) {
	list := parseAnyOf(value)
	for _, p := range list {
		if p.head || p.tail {
			return nil, &SyntaxError{Reason: "a jid takes no *", Try: "the last digits of it are enough"}
		}
	}
	return newJIDIs(list), nil
}

func parseState(value string) (condition, *SyntaxError) {
	c := &stateIs{}
	for _, p := range parseAnyOf(value) {
		place, ok := PlaceOf(p.text)
		if !ok || p.head || p.tail {
			return nil, UnknownState(p.text)
		}
		c.places = append(c.places, place)
	}
	return c, nil
}

// UnknownState is what to say of a state that does not exist.
func UnknownState(name string) *SyntaxError {
	e := &SyntaxError{Query: name, Length: len(name), Reason: "there is no such state", Try: "it is one of " + strings.Join(States(), ", ")}
	if name == "done" || name == "finished" {
		e.Try = "jobs that are done are not kept; " + e.Try
	} else if near := nearest.To(name, States()); near != "" {
		e.Try = fmt.Sprintf("did you mean %s?", near)
	}
	return e
}

func parseTries(op, value string) (condition, *SyntaxError) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return nil, &SyntaxError{Reason: "not a number of tries", Try: "write it as try>3 or try=1"}
	}
	if op == ":" {
		op = "="
	}
	return &tries{op, n}, nil
}

func parseArgument(path, value string) (condition, *SyntaxError) {
	if path == "" || strings.Contains("."+path+".", "..") {
		return nil, &SyntaxError{Reason: "which argument?", Try: "name it by its place, the first being 0: args.0=42, args.0.user.id=7"}
	}
	return newArgIs(strings.Split(path, "."), unquote(value)), nil
}

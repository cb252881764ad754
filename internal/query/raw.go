package query

import (
	"bytes"
	"strings"

	"github.com/ebbjobs/ebb/store"
)

// raw is a payload of which nothing is known yet. Looking for a few bytes in it
// takes a tenth of reading it, and settles most cases.
type raw struct {
	entry   *store.Entry
	coded   answer // some characters are written as \u…
	escaped answer // some are escaped at all
	skimmed answer
	seen    glance
}

func (r *raw) glance() *glance {
	if r.skimmed == unknown {
		r.skimmed, r.seen = yes, glanceAt(r.entry.Payload)
	}
	return &r.seen
}

type answer int8

const (
	unknown answer = iota
	yes
	no
)

func (a *answer) ask(look func() bool) bool {
	if *a == unknown {
		*a = no
		if look() {
			*a = yes
		}
	}
	return *a == yes
}

// lacks reports that text is in no string of the payload. It may report false of text
// that is not there either. With fold, text is ASCII in small letters and is looked
// for in any case of them.
func (r *raw) lacks(text string, fold bool) bool {
	switch {
	case text == "":
		return false
	case fold && containsFold(r.entry.Payload, text), !fold && bytes.Contains(r.entry.Payload, []byte(text)):
		return false
	case !r.escaped.ask(func() bool { return bytes.IndexByte(r.entry.Payload, '\\') >= 0 }):
		return true
	case strings.ContainsAny(text, "\"\\/") || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }):
		return false
	}
	return !r.coded.ask(func() bool { return bytes.Contains(r.entry.Payload, []byte(`\u`)) })
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// lower maps letters of ASCII to their small ones.
var lower = func() (table [256]byte) {
	for c := range table {
		table[c] = byte(c)
		if 'A' <= c && c <= 'Z' {
			table[c] += 'a' - 'A'
		}
	}
	return table
}()

// containsFold reports whether s contains text, which is ASCII and in small letters,
// in any case of its letters.
func containsFold[T []byte | string](s T, text string) bool {
	var has [256]bool
	for i := range len(text) {
		has[text[i]] = true
	}
	last := len(text) - 1
	for end := last; end < len(s); {
		c := lower[s[end]]
		if !has[c] {
			end += len(text) // nothing that this letter is in can match
			continue
		}
		k := 0
		for c == text[last] && k < last && lower[s[end-last+k]] == text[k] {
			k++
		}
		if c == text[last] && k == last {
			return true
		}
		end++
	}
	return false
}

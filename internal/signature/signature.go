// Package signature finds the kinds of jobs that a Go program defines, says how Ruby
// calls each, and whether two versions of one understand each other's jobs.
package signature

import (
	"slices"
	"strings"
	"unicode"
)

// Kind is a kind of job as a program defines it.
type Kind struct {
	Name   string // "" if it is not a constant
	Params []Param
	Queue  string // "" if it is not said, or not as a constant
	Retry  string // likewise: a number, or false
	File   string
	Line   int
	// Problems are why Define would panic, or what cannot be told from the source.
	Problems []string
}

// Param is one argument of a kind, or, where Rest is set, all that are left.
type Param struct {
	Name     string // as Ruby writes it
	Type     Type
	Optional bool
	Rest     bool
}

// Type is the JSON of a value, as encoding/json writes that of its Go type.
type Type struct {
	// Name is string, integer, number, boolean, time, bytes, any, array, map or object,
	// or the Go name of a type with a JSON form of its own.
	Name   string
	Elem   *Type   // of an array or a map
	Fields []Field // of an object
	Null   bool    // null may stand for it
}

// Field is a member of an object.
type Field struct {
	Name     string
	Type     Type
	Optional bool // it may be missing
}

// Ruby is how Ruby enqueues a job of this kind.
func (k *Kind) Ruby() string {
	args := make([]string, len(k.Params))
	for i, p := range k.Params {
		switch {
		case p.Rest:
			args[i] = "*" + p.Name
		case p.Optional:
			args[i] = p.Name + " = nil"
		case p.Type.Name == "object" && p.Name == "":
			pairs := make([]string, len(p.Type.Fields))
			for j, f := range p.Type.Fields {
				pairs[j] = `"` + f.Name + `" => ` + rubyName(f.Name)
			}
			args[i] = "{" + strings.Join(pairs, ", ") + "}"
		default:
			args[i] = p.called()
		}
	}
	return k.Name + ".perform_async(" + strings.Join(args, ", ") + ")"
}

// called is the parameter's name, also where the Go type has none to give.
func (p *Param) called() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Type.Name == "object" || p.Type.Name == "map":
		return "hash"
	}
	return "arg"
}

// reserved words are no names of parameters in Ruby.
var reserved = strings.Fields(`__FILE__ __LINE__ __ENCODING__ BEGIN END alias and begin break case class def do else
	elsif end ensure false for if in module next nil not or redo rescue retry return self super then true undef unless
	until when while yield`)

// rubyName writes a Go or JSON name as Ruby writes names: UserID is user_id.
func rubyName(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = '_'
		case unicode.IsUpper(r) && startsWord(runes, i):
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	ruby := b.String()
	switch {
	case ruby == "" || unicode.IsDigit(runes[0]):
		return "_" + ruby
	case slices.Contains(reserved, ruby):
		return ruby + "_"
	}
	return ruby
}

// startsWord tells whether the capital at i begins a word: after a small letter, or
// as the last of several before one. The s of a plural, as in IDs, begins none.
func startsWord(runes []rune, i int) bool {
	if i == 0 || runes[i-1] == '_' {
		return false
	}
	if !unicode.IsUpper(runes[i-1]) {
		return true
	}
	last := i+1 == len(runes)
	plural := !last && runes[i+1] == 's' && (i+2 == len(runes) || unicode.IsUpper(runes[i+2]))
	return !last && unicode.IsLower(runes[i+1]) && !plural
}

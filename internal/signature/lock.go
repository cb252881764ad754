package signature

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The lock file has a line for each kind, sorted:
//
//	EmailJob({to: string, cc?: [string]})
//	WelcomeJob(user_id: integer, locale: string = nil, *extras: string)
//
// A type is a name, [T] for an array, map(T), {name: T, …} for an object, and has a
// question mark where null may stand for it. Names with other characters than
// letters, digits and _.:/- are quoted as in Go.

const head = `# How jobs look on the wire. Written by ebb vet --save; ebb vet compares with it.
`

// Write writes the lock file of kinds. Those without a name are left out, and of one
// name the first counts.
func Write(w io.Writer, kinds []Kind) error {
	lines := []string{}
	for i := range kinds {
		if kinds[i].Name != "" && !slices.ContainsFunc(kinds[:i], func(k Kind) bool { return k.Name == kinds[i].Name }) {
			lines = append(lines, format(&kinds[i])+"\n")
		}
	}
	slices.Sort(lines)
	_, err := io.WriteString(w, head+strings.Join(lines, ""))
	return err
}

// Read reads what Write has written.
func Read(r io.Reader) (kinds []Kind, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		p := parser{rest: line}
		k := p.kind()
		if p.failed || p.rest != "" {
			return nil, fmt.Errorf("signature: line %d: it is not clear from %q on", n, p.rest)
		}
		k.Line = n
		kinds = append(kinds, k)
	}
	if err := lines.Err(); err != nil {
		return nil, errors.Join(errors.New("signature: read"), err)
	}
	return kinds, nil
}

func format(k *Kind) string {
	args := make([]string, len(k.Params))
	for i := range k.Params {
		args[i] = k.Params[i].String()
	}
	return word(k.Name) + "(" + strings.Join(args, ", ") + ")"
}

// String is the parameter as the lock file has it.
func (p *Param) String() string {
	s := p.Type.String()
	if p.Name != "" {
		s = word(p.Name) + ": " + s
	}
	if p.Rest {
		s = "*" + s
	}
	if p.Optional {
		s += " = nil"
	}
	return s
}

// String is the type as the lock file has it.
func (t Type) String() string {
	var s string
	switch t.Name {
	case "array":
		s = "[" + t.Elem.String() + "]"
	case "map":
		s = "map(" + t.Elem.String() + ")"
	case "object":
		members := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			mark := ": "
			if f.Optional {
				mark = "?: "
			}
			members[i] = word(f.Name) + mark + f.Type.String()
		}
		s = "{" + strings.Join(members, ", ") + "}"
	default:
		s = word(t.Name)
	}
	if t.Null {
		s += "?"
	}
	return s
}

// A colon is part of a name only before another character of one: Mail::Job.
var plain = regexp.MustCompile(`^[\pL\d_./-]+(:+[\pL\d_./-]+)*`)

func word(s string) string {
	if plain.FindString(s) == s && s != "" {
		return s
	}
	return strconv.Quote(s)
}

// parser reads one line of a lock file. Once something is not as expected, it reads
// no further.
type parser struct {
	rest   string
	failed bool
}

// take moves behind s if that comes next.
func (p *parser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok && !p.failed {
		p.rest = rest
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if !p.take(s) {
		p.failed = true
	}
}

func (p *parser) word() string {
	if p.failed {
		return ""
	}
	if strings.HasPrefix(p.rest, `"`) {
		quoted, err := strconv.QuotedPrefix(p.rest)
		if err == nil {
			p.rest = p.rest[len(quoted):]
			s, _ := strconv.Unquote(quoted)
			return s
		}
	}
	s := plain.FindString(p.rest)
	p.failed = s == ""
	p.rest = p.rest[len(s):]
	return s
}

func (p *parser) kind() (k Kind) {
	k.Name = p.word()
	p.want("(")
	for first := true; !p.failed && !p.take(")"); first = false {
		if !first {
			p.want(", ")
		}
		k.Params = append(k.Params, p.param())
	}
	return k
}

func (p *parser) param() (param Param) {
	param.Rest = p.take("*")
	before := *p
	if param.Name = p.word(); p.failed || !p.take(": ") {
		*p, param.Name = before, "" // it begins with its type
	}
	param.Type = p.typ(0)
	param.Optional = p.take(" = nil")
	return param
}

// deepest bounds how far types may stand within each other in a file that somebody
// else may have written.
const deepest = 100

func (p *parser) typ(depth int) (t Type) {
	if p.failed = p.failed || depth > deepest; p.failed {
		return t
	}
	switch {
	case p.take("["):
		t = Type{Name: "array", Elem: new(p.typ(depth + 1))}
		p.want("]")
	case p.take("map("):
		t = Type{Name: "map", Elem: new(p.typ(depth + 1))}
		p.want(")")
	case p.take("{"):
		t.Name = "object"
		for !p.failed && !p.take("}") {
			if len(t.Fields) > 0 {
				p.want(", ")
			}
			f := Field{Name: p.word(), Optional: p.take("?")}
			p.want(": ")
			f.Type = p.typ(depth + 1)
			t.Fields = append(t.Fields, f)
		}
	default:
		t.Name = p.word()
	}
	t.Null = p.take("?")
	return t
}

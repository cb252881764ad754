package doctor

import (
	"bytes"
	"errors"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"mvdan.cc/sh/v3/syntax"
)

func isDockerfile(s Source) bool {
	base := strings.ToLower(path.Base(s.Name))
	return base == "dockerfile" || base == "containerfile" ||
		strings.HasPrefix(base, "dockerfile.") && base != "dockerfile.dockerignore" || strings.HasSuffix(base, ".dockerfile") || strings.HasSuffix(base, ".containerfile")
}

// readDockerfile makes an image of each stage. A stage begins with what the one that
// it is built from has.
func (f *facts) readDockerfile(s Source) {
	result, err := parser.Parse(bytes.NewReader(s.Text))
	if err != nil {
		at := Place{s.Name, 1}
		if located, ok := errors.AsType[*parser.LocationError](err); ok && len(located.Locations) > 0 && len(located.Locations[0]) > 0 {
			at.Line = located.Locations[0][0].Start.Line
		}
		f.problem(at, "this is not a Dockerfile: %v", err)
		return
	}
	arguments := map[string]string{} // ARG before the first FROM
	var img *image
	stages := map[string]*image{}
	for _, n := range result.AST.Children {
		at := Place{s.Name, n.StartLine}
		if strings.EqualFold(n.Value, "from") {
			img = newStage(at, arguments, stages, n)
			img.dir = dirOf(s.Name)
			f.images = append(f.images, img)
			stages[strings.ToLower(img.stage)] = img
			continue
		}
		if img == nil {
			if strings.EqualFold(n.Value, "arg") && n.Next != nil {
				name, value, _ := strings.Cut(n.Next.Value, "=")
				arguments[name] = strings.Trim(value, `"'`)
			}
			continue
		}
		img.instruction(at, n)
	}
	if img == nil {
		f.problem(Place{s.Name, 1}, "this is not a Dockerfile: it has no FROM")
		return
	}
	img.last = true
}

func newStage(at Place, arguments map[string]string, stages map[string]*image, n *parser.Node) *image {
	words := nodeWords(n)
	img := &image{at: at, env: map[string]text{}, copies: map[string]string{}}
	if len(words) == 3 && strings.EqualFold(words[1], "as") {
		img.stage = words[2]
	}
	if len(words) == 0 {
		return img
	}
	base := words[0]
	for name, value := range arguments {
		base = strings.NewReplacer("${"+name+"}", value, "$"+name, value).Replace(base)
	}
	img.base = text{base, at}
	parent := stages[strings.ToLower(base)]
	if base == "" || parent == nil {
		return img
	}
	stage, env, copies := img.stage, img.env, img.copies
	*img = *parent
	img.at, img.stage, img.env, img.copies = at, stage, env, copies
	img.runs = parent.runs[:len(parent.runs):len(parent.runs)]
	maps.Copy(img.env, parent.env)
	maps.Copy(img.copies, parent.copies)
	return img
}

func nodeWords(n *parser.Node) (words []string) {
	for next := n.Next; next != nil; next = next.Next {
		words = append(words, next.Value)
	}
	return words
}

func (img *image) instruction(at Place, n *parser.Node) {
	words := nodeWords(n)
	switch strings.ToLower(n.Value) {
	case "entrypoint":
		img.entrypoint = img.command(at, n)
		img.cmd = nil // of the image that this one is built from
	case "cmd":
		img.cmd = img.command(at, n)
	case "shell":
		img.shell = words
	case "stopsignal":
		if len(words) > 0 {
			img.stopSignal = text{words[0], at}
		}
	case "env":
		for i := 0; i+2 < len(words); i += 3 { // name, value, separator
			img.env[words[i]] = text{strings.Trim(words[i+1], `"'`), at}
		}
	case "run":
		var run strings.Builder
		run.WriteString(strings.Join(words, " "))
		for _, h := range n.Heredocs {
			run.WriteString("\n" + h.Content)
		}
		img.runs = append(img.runs, text{run.String(), at})
	case "copy", "add":
		img.copy(words)
	case "healthcheck":
		img.health = healthcheck(at, n, words)
	}
}

// copy remembers what files are called in the image.
func (img *image) copy(words []string) {
	if len(words) < 2 {
		return
	}
	to := words[len(words)-1]
	for _, from := range words[:len(words)-1] {
		name := path.Base(to)
		if strings.HasSuffix(to, "/") || len(words) > 2 || to == "." {
			name = path.Base(from)
		}
		img.copies[name] = path.Clean(from)
	}
}

// command reads CMD or ENTRYPOINT. What is no array of JSON is given to a shell, also
// what its author took for one.
func (img *image) command(at Place, n *parser.Node) *command {
	c := &command{at: at}
	for _, w := range nodeWords(n) {
		c.words = append(c.words, word{w, at})
	}
	if n.Attributes["json"] {
		return c
	}
	line := strings.Join(values(c.words), " ")
	c.raw, c.shellForm = line, true
	shell := img.shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	c.words = nil
	for _, w := range append(shell[:len(shell):len(shell)], line) {
		c.words = append(c.words, word{w, at})
	}
	return c
}

func healthcheck(at Place, n *parser.Node, words []string) *probe {
	if len(words) == 0 || strings.EqualFold(words[0], "none") {
		return nil
	}
	p := &probe{at: at, kind: "HEALTHCHECK", period: 30 * time.Second, timeout: 30 * time.Second}
	for _, flag := range n.Flags {
		if value, ok := strings.CutPrefix(flag, "--interval="); ok {
			if d, ok := seconds(value); ok {
				p.period = d
			}
		}
	}
	for _, w := range words[1:] {
		for part := range strings.FieldsSeq(w) {
			p.words = append(p.words, word{part, at})
		}
	}
	return p
}

// shellProblem is a text that no shell would take.
func (f *facts) shellProblem(name string, err error) {
	at := Place{name, 1}
	if parse, ok := errors.AsType[syntax.ParseError](err); ok {
		at.Line = int(parse.Pos.Line())
		f.problem(at, "this is not a shell's language: %s", parse.Text)
		return
	}
	f.problem(at, "this is not a shell's language: %v", err)
}

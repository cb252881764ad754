package doctor

import (
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

func isMakefile(s Source) bool {
	base := strings.ToLower(path.Base(s.Name))
	return base == "makefile" || base == "gnumakefile" || path.Ext(base) == ".mk"
}

// isPipeline knows workflows of GitHub and pipelines of GitLab, both by where they are.
func isPipeline(s Source) bool {
	return isYAML(s.Name) && (strings.Contains("/"+s.Name, "/.github/workflows/") || strings.HasSuffix(strings.TrimSuffix(path.Base(s.Name), path.Ext(s.Name)), ".gitlab-ci"))
}

// readMakefile reads the lines of recipes. Each is a shell's text of its own, and what
// make would fill in is not known.
func (f *facts) readMakefile(s Source) {
	lines := strings.Split(string(s.Text), "\n")
	for i := 0; i < len(lines); i++ {
		line, ok := strings.CutPrefix(lines[i], "\t")
		if !ok {
			continue
		}
		at := Place{s.Name, i + 1}
		line = strings.TrimSuffix(line, "\r")
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line += "\n" + strings.TrimSuffix(lines[i], "\r")
		}
		f.recipe(at, strings.ReplaceAll(strings.TrimLeft(line, "@-+ "), "$$", "$"))
	}
}

// recipe reads a shell's text. One that is in another language says nothing.
func (f *facts) recipe(at Place, source string) {
	if path, err := readShell(source); err == nil {
		f.recipes = append(f.recipes, recipe{at, path})
	}
}

func (f *facts) readPipeline(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		f.steps(doc, 8)
	}
}

// filledIn is what GitHub puts in before the shell sees the text.
var filledIn = regexp.MustCompile(`\$\{\{[^\n]*?\}\}`)

// steps looks for what a shell is given, wherever it is.
func (f *facts) steps(n node, depth int) {
	if depth == 0 {
		return
	}
	for _, element := range n.list() {
		f.steps(element, depth-1)
	}
	n.fields(func(key text, value node) {
		switch key.value {
		case "run", "script", "before_script", "after_script":
			for _, n := range append(value.list(), value) {
				at := n.at()
				if n.n != nil && (n.n.Style&(yaml.LiteralStyle|yaml.FoldedStyle)) != 0 {
					at.Line++ // the text begins below its sign
				}
				if t := n.text(); t.value != "" {
					f.recipe(at, filledIn.ReplaceAllString(t.value, "filled-in"))
				}
			}
		}
		f.steps(value, depth-1)
	})
}

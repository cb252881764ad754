package doctor

import (
	"path"
	"regexp"
	"strings"
	"time"

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
		f.recipe(at, strings.ReplaceAll(strings.TrimLeft(line, "@-+ "), "$$", "$"), span{})
	}
}

// recipe reads a shell's text. One that is in another language says nothing.
func (f *facts) recipe(at Place, source string, limit span) {
	if path, err := readShell(source); err == nil {
		f.recipes = append(f.recipes, recipe{at, path, limit})
	}
}

func (f *facts) readPipeline(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		f.steps(doc, span{}, 8)
	}
}

// filledIn is what GitHub puts in before the shell sees the text.
var filledIn = regexp.MustCompile(`\$\{\{[^\n]*?\}\}`)

// limitOf is the time that a job or a step may take: GitHub's in minutes, GitLab's in
// words. (GitHub, workflow syntax; GitLab, CI/CD YAML syntax, timeout.)
func limitOf(n node) span {
	if t := n.get("timeout-minutes"); t.there() {
		if minutes, ok := t.number(); ok && minutes > 0 {
			return span{time.Duration(minutes) * time.Minute, t.at(), "timeout-minutes"}
		}
	}
	t := n.get("timeout").text()
	if d, ok := seconds(inWords.Replace(strings.ToLower(t.value))); ok && d > 0 {
		return span{d, t.at, "timeout"}
	}
	return span{}
}

// inWords makes a Go duration of most that GitLab takes.
var inWords = strings.NewReplacer("hours", "h", "hour", "h", "hrs", "h", "minutes", "m", "minute", "m", "mins", "m", "min", "m",
	"seconds", "s", "second", "s", "secs", "s", "sec", "s", "and", "", " ", "")

// steps looks for what a shell is given, wherever it is, and how long that may take: the
// least that is said on the way there.
func (f *facts) steps(n node, limit span, depth int) {
	if depth == 0 {
		return
	}
	if own := limitOf(n); own.known() && (!limit.known() || own.value < limit.value) {
		limit = own
	}
	for _, element := range n.list() {
		f.steps(element, limit, depth-1)
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
					f.recipe(at, filledIn.ReplaceAllString(t.value, "filled-in"), limit)
				}
			}
		}
		f.steps(value, limit, depth-1)
	})
}

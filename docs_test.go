package ebb_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestREADMEProgramBuilds(t *testing.T) {
	t.Parallel()
	_, rest, ok := strings.Cut(read(t, "README.md"), "```go\n")
	program, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md has no Go program")
	}
	build(t, program)
}

func TestPackageDocProgramBuilds(t *testing.T) {
	t.Parallel()
	var program strings.Builder
	for line := range strings.Lines(read(t, "doc.go")) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			program.WriteString(code)
		} else if program.Len() > 0 && line == "//\n" {
			program.WriteString("\n")
		} else if program.Len() > 0 {
			break
		}
	}
	build(t, strings.TrimSpace(program.String())+"\n")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// build compiles a program as it stands in a document, within this module.
func build(t *testing.T, program string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "program"), file)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the other programs that tests build: SQLite is compiled once
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, program)
	}
	if out, err := exec.CommandContext(t.Context(), "gofmt", "-l", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt would change the program: %v\n%s", err, out)
	}
}

var (
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	block = regexp.MustCompile("(?s)```.*?```")
)

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(block.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := filepath.Join(filepath.Dir(path), target)
			if target == "" {
				file = path
			}
			linked, err := os.ReadFile(file)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			} else if anchor != "" && !hasHeading(string(linked), anchor) {
				t.Errorf("%s: %s has no heading #%s", path, file, anchor)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hasHeading reports whether a heading has this anchor, as Git hosts make them.
func hasHeading(text, anchor string) bool {
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line {
			continue
		}
		var b strings.Builder
		for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				b.WriteRune(r)
			}
		}
		if b.String() == anchor {
			return true
		}
	}
	return false
}

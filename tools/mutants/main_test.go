package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// TestTable holds the table to the tree: each place is there once, and each command
// names a test.
func TestTable(t *testing.T) {
	all, err := readTable("protections.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			for _, h := range p.hunks {
				text, err := os.ReadFile(filepath.Join(root, h.file))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := h.apply(text); err != nil {
					t.Error(err)
				}
			}
			p.names(t)
		})
	}
}

var tests = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// names checks that a test of each package has a name that the command runs.
func (p protection) names(t *testing.T) {
	t.Helper()
	wanted := regexp.MustCompile("")
	packages := 0
	for i := 2; i < len(p.test); i++ {
		word := p.test[i]
		if word == "-run" && i+1 < len(p.test) {
			first, _, _ := strings.Cut(p.test[i+1], "/")
			wanted = regexp.MustCompile(first)
			i++
		}
	}
	for _, word := range p.test[2:] {
		if !strings.HasPrefix(word, "./") && word != "." {
			continue
		}
		packages++
		found := false
		files, _ := filepath.Glob(filepath.Join(root, word, "*_test.go"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range tests.FindAllStringSubmatch(string(text), -1) {
				found = found || wanted.MatchString(name[1])
			}
		}
		if !found {
			t.Errorf("%s has no test that %s runs", word, p.command())
		}
	}
	if packages == 0 {
		t.Errorf("%s names no package", p.command())
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	const text = "a {\n\tb\n\tc\n}\nb\nd\n"
	for name, tt := range map[string]struct {
		old, new []string
		want     string
		err      string
	}{
		"one line":       {[]string{"\tc"}, []string{"\tx", "\ty"}, "a {\n\tb\n\tx\n\ty\n}\nb\nd\n", ""},
		"several":        {[]string{"b", "c"}, nil, "a {\n}\nb\nd\n", ""},
		"space at ends":  {[]string{"  c "}, []string{"x"}, "a {\n\tb\nx\n}\nb\nd\n", ""},
		"there twice":    {[]string{"b"}, nil, "", "twice, at 2 and 5"},
		"not there":      {[]string{"b", "x"}, nil, "", "does not have"},
		"longer than it": {strings.Split(strings.Repeat("a\n", 20), "\n"), nil, "", "does not have"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := hunk{"f", tt.old, tt.new}.apply([]byte(text))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestReadTable(t *testing.T) {
	t.Parallel()
	const block = "for people\n\n# A heading\n\n## name\nIt protects\nthis.\ntest: go test ./x -run 'TestA|TestB c'\nfile: x/x.go\n-\told\n+\tnew\n"
	for name, tt := range map[string]struct{ text, err string }{
		"a block":        {block, ""},
		"twice":          {block + "# Another\n" + strings.TrimPrefix(block, "for people\n"), "name is there twice"},
		"not a change":   {strings.ReplaceAll(block, "+\tnew", "+\told"), "nothing changes"},
		"no old lines":   {strings.ReplaceAll(block, "-\told", ""), "nothing changes"},
		"no file":        {"## name\nIt protects.\ntest: go test ./x\n", "no file"},
		"no words":       {strings.ReplaceAll(block, "It protects\nthis.\n", ""), "what it protects"},
		"no command":     {strings.ReplaceAll(block, "go test", "make"), "no go test command"},
		"an open quote":  {strings.ReplaceAll(block, " c'", ""), "quote"},
		"a strange line": {block + "what\n", "neither"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "table")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			all, err := readTable(file)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			p := all[0]
			if p.what != "It protects this." || p.test[4] != "TestA|TestB c" || p.hunks[0].file != "x/x.go" || p.hunks[0].new[0] != "\tnew" {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestTry mutates a repository of one package: what its test notices is caught, what
// it does not survives, and what does not compile is neither.
func TestTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module m\n\ngo 1.26\n",
		"m.go":      "package m\n\nfunc One() int {\n\tn := 1\n\tn *= 1\n\treturn n\n}\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tt.Run(\"is\", func(t *testing.T) {\n\t\tif One() != 1 {\n\t\t\tt.Error()\n\t\t}\n\t})\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := []protection{}
	for _, change := range [][2]string{{"n := 1", "n := 2"}, {"n *= 1", ""}, {"n := 1", "n := x"}, {"return n", "select {}"}} {
		all = append(all, protection{name: change[0] + ">" + change[1], test: []string{"go", "test", "./..."},
			hunks: []hunk{{"m.go", []string{change[0]}, []string{change[1]}}}})
	}
	var out strings.Builder
	err := tryAll(t.Context(), &tree{dir: dir, was: map[string][]byte{}}, all, 5e9, &out)
	if err == nil || err.Error() != "not caught: n *= 1>, n := 1>n := x" {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"TestOne/is\n", "SURVIVED go test ./...\n", "BROKEN: no test could run", "4 protections, 2 caught"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := tryAll(ended, &tree{dir: dir, was: map[string][]byte{}}, all, 5e9, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "m.go")); err != nil || !strings.Contains(string(text), "n := 1\n\tn *= 1\n\treturn n") {
		t.Errorf("left behind: %s, %v", text, err)
	}
}

package config

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/ebbjobs/ebb"
)

// TestImport: each archive has a sidekiq.yml, the ebb.yml that is made of it, and what
// is told; -update writes the latter two.
func TestImport(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/import/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			section := func(name string) string {
				for _, f := range archive.Files {
					if f.Name == name {
						return string(f.Data)
					}
				}
				return ""
			}
			text, environment := section("sidekiq.yml"), strings.TrimSpace(section("environment"))
			in := Input{Getenv: env(), File: "sidekiq.yml", Dir: folder(t, "sidekiq.yml", text), Environment: environment}
			got, err := Import(in)
			if err != nil {
				t.Fatal(err)
			}
			notes := told("left", got.Left) + told("note", got.Notes)
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "ebb.yml" || f.Name == "told" })
				archive.Files = append(archive.Files, txtar.File{Name: "ebb.yml", Data: got.Text}, txtar.File{Name: "told", Data: []byte(notes)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(section("ebb.yml"), string(got.Text)); diff != "" && !*update {
				t.Errorf("ebb.yml, -want +got:\n%s", diff)
			}
			if diff := gocmp.Diff(section("told"), notes); diff != "" && !*update {
				t.Errorf("told, -want +got:\n%s", diff)
			}
			mustLoadWritten(t, got.Text)
			if len(got.Left) == 0 {
				sameSettings(t, in, text, got.Text)
			}
		})
	}
}

func told(what string, problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(what + " " + p.String() + "\n")
	}
	return b.String()
}

// sameSettings: ebb work runs the same with what was written as with what it was
// written from.
func sameSettings(t *testing.T, in Input, text string, written []byte) {
	t.Helper()
	before, problems := loadText(in, "sidekiq.yml", text)
	if len(problems) > 0 {
		return // a key without a value, which is passed over here, and refused there
	}
	after := mustLoadWritten(t, written)
	if diff := gocmp.Diff(oneForm(before), oneForm(after)); diff != "" {
		t.Errorf("-before +after:\n%s\n%s", diff, written)
	}
	if before.Log != after.Log {
		t.Errorf("log is %v, and was %v", after.Log, before.Log)
	}
}

// loadText is Load of one text.
func loadText(in Input, name, text string) (*Settings, []Problem) {
	l := &loader{in: in, s: &Settings{from: map[string]origin{}}}
	l.text(name, []byte(text))
	l.choose()
	l.judge()
	return l.s, l.problems
}

func mustLoadWritten(t *testing.T, written []byte) *Settings {
	t.Helper()
	s, problems := loadText(Input{Getenv: env()}, "ebb.yml", string(written))
	if len(problems) > 0 {
		t.Fatalf("%v in\n%s", &Error{problems}, written)
	}
	return s
}

// oneForm has all queues in groups, as the library takes them.
func oneForm(s *Settings) ebb.Config {
	c := s.Process()
	if len(c.Queues) > 0 && len(c.Groups) > 0 {
		own := ebb.Group{Name: "default", Queues: c.Queues, Weights: c.Weights, Concurrency: cmp.Or(c.Concurrency, s.Concurrency)}
		c.Queues, c.Weights, c.Concurrency = nil, nil, 0
		c.Groups = append([]ebb.Group{own}, c.Groups...)
	}
	return c
}

func TestImportMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a value":          {":concurrency: many\n:timeout: <%= x %>", []string{`sidekiq.yml:1:15: concurrency: want a whole number above zero, got "many"`}},
		"a queue twice":    {":queues: [a, a]", []string{`sidekiq.yml:1:14: queue a is there twice`}},
		"no YAML":          {":tag: a\n  <%= x %>: [", []string{`sidekiq.yml:2: this is not YAML: mapping values are not allowed in this context`}},
		"a tag":            {":tag: é<%= x", []string{`sidekiq.yml:1:8: this ERB tag has no end`}},
		"a block":          {":tag: a\n<% if x %>\n<% y %>\n", []string{`sidekiq.yml:2:1: this block of ERB has no end`}},
		"a block in one":   {"<% [1].each { |q| %>\n<% if y then z end %>\n<% while x do %><% end %>", []string{`sidekiq.yml:1:1: this block of ERB has no end`}},
		"too much":         {strings.Repeat("<%%", 2000), []string{`sidekiq.yml:1:3001: this is ERB tag 1001, and more than that are no settings`}},
		"a capsule":        {":capsules:\n  one: {concurrency: 3}\n", []string{`sidekiq.yml:2:3: the group one has no queues`}},
		"a capsule of ERB": {":capsules:\n  one: {queues: [<%= x %>], concurrency: 3}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := importText(Input{Getenv: env(), File: "sidekiq.yml"}, []byte(c.text))
			if diff := gocmp.Diff(c.want, problems(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	_, err := Import(Input{Getenv: env(), File: "sidekiq.yml", Dir: t.TempDir()})
	if diff := gocmp.Diff([]string{"sidekiq.yml: no such file or directory"}, problems(err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Flags count over the file, and over its ERB.
func TestImportFlags(t *testing.T) {
	t.Parallel()
	in := Input{Getenv: env(), File: "sidekiq.yml", Flags: []Flag{{"queues", "-q", []string{"a,2", "b"}}, {"concurrency", "-c", []string{"7"}}}}
	got, err := importText(in, []byte(":concurrency: <%= x %>\n:queues: [z]\n:tag: shop\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := mustLoadWritten(t, got.Text)
	for key, want := range map[string]string{"queues": "a,2 b from ebb.yml:5", "concurrency": "7 from ebb.yml:8", "tag": "shop from ebb.yml:10"} {
		if got := value(s, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if len(got.Left) > 0 {
		t.Errorf("left: %v", got.Left)
	}
}

// Queues by flag beside a capsule that replaces them, as with Sidekiq.
func TestImportFlagsBesideCapsules(t *testing.T) {
	t.Parallel()
	in := Input{Getenv: env(), File: "sidekiq.yml", Flags: []Flag{{"queues", "-q", []string{"a"}}}}
	for text, want := range map[string]string{
		":capsules: {default: {queues: [b]}}": "b from ebb.yml:8",
		":capsules: {other: {queues: [b]}}":   "a from ebb.yml:8",
	} {
		got, err := importText(in, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := value(mustLoadWritten(t, got.Text), "groups.default.queues"); got != want {
			t.Errorf("%s: queues are %q, want %q", text, got, want)
		}
	}
}

// FuzzImport: whatever is written loads, and says what was read. A text with ERB is
// read without a panic, and what is left of it loads.
func FuzzImport(f *testing.F) {
	files, _ := filepath.Glob("testdata/import/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(archive.Files[0].Data))
	}
	f.Add(bomb(3))
	f.Add("<%if x%>a: [<%=")
	f.Add(":queues: [<%= a %>, [b, <%= c\nd %>]] # <% if e %>\n:tag: |\n  <%= f %>\n  g\n")
	f.Fuzz(func(t *testing.T, text string) {
		in := Input{Getenv: env(), File: "sidekiq.yml"}
		got, err := importText(in, []byte(text))
		if err != nil {
			if problems(err) == nil {
				t.Errorf("%v names no place", err)
			}
			return
		}
		mustLoadWritten(t, got.Text)
		if !strings.Contains(text, "<%") {
			sameSettings(t, in, text, got.Text)
		}
	})
}

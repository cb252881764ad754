package ebb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ebbjobs/ebb"

// imports says what each package may import beside the standard library, tests
// aside. Names without a dot are ours, "." is the root package, and a star stands
// for one element of a path. A module's name stands for all its packages. What
// is not here, such as wire, store and lifecycle, imports the standard library alone.
//
// The arrows point one way: examples → root → internal → store → wire.
// Users choose what a program weighs by the driver it imports, so that only
// storeurl names drivers, and what only tests need is linked into no program.
var imports = map[string][]string{
	"store/memstore":    {"store", "wire"},
	"store/sqlitestore": {"store", "wire", "internal/crashpoint", "modernc.org/sqlite", "github.com/fsnotify/fsnotify", "golang.org/x/sys"},
	"store/redisstore":  {"store", "wire", "internal/crashpoint", "github.com/redis/rueidis"},
	"store/storeurl":    {"store", "store/memstore", "store/sqlitestore", "store/redisstore"},

	"internal/platform": {"lifecycle"},
	"internal/control":  {"store", "lifecycle"},
	"internal/beat":     {"store"},
	"internal/netfault": {},
	"internal/promote":  {"store"},
	"internal/rescue":   {"store", "wire", "internal/crashpoint"},
	"internal/sdnotify": {"lifecycle", "internal/control"},
	"internal/probe":    {"lifecycle", "internal/control", "internal/platform"},
	"internal/protect":  {},
	"internal/podcost":  {},
	"internal/spot":     {},
	"internal/runner": {"store", "wire", "lifecycle", "internal/beat", "internal/control", "internal/crashpoint",
		"internal/promote", "internal/rescue", "internal/verdict"},
	"internal/proctitle": {},

	".": {"store", "wire", "lifecycle", "internal/control", "internal/platform",
		"internal/podcost", "internal/probe", "internal/proctitle", "internal/protect", "internal/runner", "internal/sdnotify", "internal/spot", "internal/verdict"},
	"ebbtest": {".", "store", "store/memstore", "wire", "internal/verdict"},

	"examples/moved-class": {".", "store/redisstore"},
	"examples/web-mount":   {".", "store/sqlitestore", "web"},

	// What only the command needs.
	"internal/guard":     {"store", "wire", "internal/rescue"},
	"internal/fleet":     {"store", "wire", "lifecycle", "internal/prose"},
	"internal/nearest":   {},
	"internal/prose":     {},
	"internal/console":   {"internal/prose", "charm.land/lipgloss/v2", "github.com/charmbracelet/colorprofile", "github.com/charmbracelet/x/ansi", "golang.org/x/term"},
	"internal/query":     {"store", "wire", "internal/fleet", "internal/nearest"},
	"internal/export":    {},
	"internal/life":      {"store", "wire", "internal/query"},
	"internal/bulk":      {"store", "wire", "internal/query"},
	"internal/command":   {".", "store", "wire", "golang.org/x/sys"},
	"internal/config":    {".", "store", "lifecycle", "internal/command", "internal/nearest", "internal/platform", "go.yaml.in/yaml/v3"},
	"internal/signature": {"store", "golang.org/x/tools/go/packages"},
	"internal/chaos":     {".", "store", "wire", "internal/crew", "internal/netfault", "internal/notes"},
	"internal/load":      {".", "store", "internal/crew", "internal/notes", "github.com/HdrHistogram/hdrhistogram-go"},
	"internal/metrics":   {"store", "lifecycle", "internal/control", "github.com/prometheus/client_golang", "github.com/prometheus/common"},
	"internal/demo":      {".", "store", "store/sqlitestore", "internal/console", "internal/crew", "internal/prose"},
	"drain":              {"store", "lifecycle", "internal/control"},
	"web":                {".", "store", "wire", "lifecycle", "internal/bulk", "internal/query", "internal/fleet", "internal/prose", "internal/export", "internal/life"},
	"doctor": {"internal/platform", "go.yaml.in/yaml/v3", "github.com/moby/buildkit/frontend/dockerfile/parser", "mvdan.cc/sh/v3/syntax",
		"github.com/coreos/go-systemd/v22/unit", "github.com/hashicorp/hcl/v2", "github.com/pelletier/go-toml/v2"},
	"pid1":         {"stopseq", "golang.org/x/sys/unix"}, // it is all there is of ebb-init
	"cmd/ebb-init": {"pid1"},
	"cmd/ebb": {".", "store", "doctor", "pid1", "drain", "internal/platform", "stopseq", "store/storeurl", "wire", "lifecycle", "internal/bulk", "internal/chaos", "internal/command", "internal/config", "internal/console", "internal/control",
		"internal/demo", "internal/export", "internal/fleet", "internal/guard", "internal/life", "internal/load", "internal/metrics", "internal/nearest", "internal/promote", "internal/prose", "internal/query", "internal/rescue", "internal/signature", "web",
		"charm.land/bubbletea/v2", "charm.land/lipgloss/v2", "github.com/charmbracelet/x/ansi", "github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/google/jsonschema-go", "github.com/rogpeppe/go-internal/diff"},

	"store/storetest":      {"store", "github.com/google/go-cmp"}, // for the tests of drivers, here and elsewhere
	"internal/redistest":   {"github.com/redis/rueidis"},
	"internal/sidekiqtest": {"internal/redistest"},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		may := rule(p.name())
		for _, imported := range p.Imports {
			if isStandard(imported) {
				continue
			}
			if !slices.ContainsFunc(may, func(m string) bool { return covers(m, imported) }) {
				t.Errorf("%s imports %s, and may import only %q", p.name(), relative(imported), may)
			}
		}
	}
}

// TestLibraryIsLight looks through everything that a program with all drivers links:
// what only the command needs is not among it.
func TestLibraryIsLight(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".", "./ebbtest", "./store/storeurl", "./web").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for p := range strings.Lines(string(out)) {
		p = strings.TrimSpace(p)
		for _, heavy := range []string{"cobra", "pflag", "charm", "yaml", "hdrhistogram", "jsonschema", "x/tools", "x/term", "ebb/doctor", "ebb/drain", "buildkit", "mvdan.cc", "go-systemd", "hashicorp", "go-toml", "protobuf"} {
			if !isStandard(p) && strings.Contains(p, heavy) {
				t.Errorf("a program that uses the library links %s", p)
			}
		}
	}
}

func TestEveryImportRuleIsUsed(t *testing.T) {
	used := map[string][]string{} // by pattern
	for _, p := range packages(t) {
		for pattern := range imports {
			if ok, _ := path.Match(pattern, p.name()); ok {
				used[pattern] = append(used[pattern], p.Imports...)
			}
		}
	}
	for pattern, may := range imports {
		for _, m := range may {
			if !slices.ContainsFunc(used[pattern], func(imported string) bool { return covers(m, imported) }) {
				t.Errorf("%s may import %s, and does not", pattern, m)
			}
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func (p listed) name() string { return relative(p.ImportPath) }

// packages lists this module's, as they are built for a program.
func packages(t *testing.T) []listed {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

func rule(name string) []string {
	for pattern, may := range imports {
		if ok, _ := path.Match(pattern, name); ok {
			return may
		}
	}
	return nil
}

// covers reports whether a name in the table stands for an imported package.
func covers(name, imported string) bool {
	if first, _, _ := strings.Cut(name, "/"); name != "." && strings.Contains(first, ".") {
		return imported == name || strings.HasPrefix(imported, name+"/")
	}
	return imported == path.Join(module, name)
}

// relative is how the table names a package.
func relative(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

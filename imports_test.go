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
// for one element of a path. A module's name stands for all its packages.
//
// The arrows point one way: examples → root → internal → store → wire.
// Users choose what a program weighs by the driver it imports, so that only
// storeurl names drivers, and what only tests need is linked into no program.
var imports = map[string][]string{
	"wire":      {},
	"store":     {"wire"},
	"lifecycle": {},

	"store/memstore":    {"store", "wire", "internal/crashpoint"},
	"store/sqlitestore": {"store", "wire", "internal/crashpoint", "modernc.org/sqlite", "github.com/fsnotify/fsnotify", "golang.org/x/sys"},
	"store/redisstore":  {"store", "wire", "internal/crashpoint", "github.com/redis/rueidis"},
	"store/storeurl":    {"store", "store/memstore", "store/sqlitestore", "store/redisstore"},

	"internal/crashpoint": {},
	"internal/verdict":    {},
	"internal/platform":   {"lifecycle", "golang.org/x/sys"},
	"internal/control":    {"store", "lifecycle", "golang.org/x/sys"},
	"internal/beat":       {"store"},
	"internal/promote":    {"store", "internal/beat"},
	"internal/rescue":     {"store", "wire", "internal/beat", "internal/crashpoint"},
	"internal/runner": {"store", "wire", "lifecycle", "internal/beat", "internal/control", "internal/crashpoint",
		"internal/platform", "internal/promote", "internal/rescue", "internal/verdict", "golang.org/x/sync"},

	".":          {"store", "wire", "lifecycle", "internal/control", "internal/platform", "internal/runner", "internal/verdict"},
	"ebbtest":    {".", "store", "store/memstore", "wire", "internal/verdict"},
	"examples/*": {".", "store", "store/memstore", "store/sqlitestore", "store/redisstore", "store/storeurl"},

	"store/storetest":    {"store", "wire", "internal/crashpoint", "github.com/google/go-cmp"},
	"internal/redistest": {"store", "github.com/redis/rueidis"},
	"internal/crashtest": {".", "store", "store/memstore", "store/sqlitestore", "store/redisstore", "store/storeurl", "wire",
		"internal/crashpoint", "internal/redistest"},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		may, ok := rule(p.name())
		if !ok {
			t.Errorf("%s: no rule says what it may import: add one to the table", p.name())
			continue
		}
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

func TestEveryImportRuleIsUsed(t *testing.T) {
	all := packages(t)
	for pattern := range imports {
		if !slices.ContainsFunc(all, func(p listed) bool { ok, _ := path.Match(pattern, p.name()); return ok }) {
			t.Errorf("%s: a rule for a package that is not there", pattern)
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

func rule(name string) ([]string, bool) {
	for pattern, may := range imports {
		if ok, _ := path.Match(pattern, name); ok {
			return may, true
		}
	}
	return nil, false
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

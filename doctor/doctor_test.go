package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFixtures examines each folder below testdata/Dxx as if it were a user's. One
// that begins with bad gives what its want.txt says, and nothing else; one that begins
// with good gives nothing at all.
func TestFixtures(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob("testdata/D*/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	for _, folder := range folders {
		id, kind := filepath.Base(filepath.Dir(folder)), filepath.Base(folder)
		t.Run(id+"/"+kind, func(t *testing.T) {
			t.Parallel()
			sources, problems := Collect(os.DirFS(folder), "")
			report := Examine(sources)
			for _, p := range append(problems, report.Problems...) {
				t.Errorf("%s:%d: %s", p.At.File, p.At.Line, p.Text)
			}
			var want []string
			if strings.HasPrefix(kind, "bad") {
				text, err := os.ReadFile(filepath.Join(folder, "want.txt"))
				if err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(string(text)) {
					want = append(want, strings.TrimSpace(line))
					if !strings.HasPrefix(line, id+" ") {
						t.Errorf("want.txt asks for %q", line)
					}
				}
			}
			var got []string
			for _, found := range report.Findings {
				got = append(got, fmt.Sprintf("%s %s %s:%d", found.Rule, found.Severity, found.At.File, found.At.Line))
				if found.Effect == "" || found.Fix == "" {
					t.Errorf("%s says too little: %+v", found.Rule, found)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%+v", diff, report.Findings)
			}
		})
	}
}

// TestEveryRuleHasFixtures wants a bad and a good folder for each rule, and none for
// rules that there are not.
func TestEveryRuleHasFixtures(t *testing.T) {
	t.Parallel()
	for _, rule := range Rules {
		for _, kind := range []string{"bad", "good"} {
			if found, _ := filepath.Glob(filepath.Join("testdata", rule.ID, kind+"*")); len(found) == 0 {
				t.Errorf("%s has no %s fixture", rule.ID, kind)
			}
		}
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := RuleOf(e.Name()); !ok && e.Name() != "fuzz" {
			t.Errorf("testdata/%s is of no rule", e.Name())
		}
	}
	if !slices.IsSortedFunc(Rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the rules are not in order")
	}
}

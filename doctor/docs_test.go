package doctor

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/doctor.md")

// TestReference compares docs/reference/doctor.md with the table of rules; -update
// writes it.
func TestReference(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "docs", "reference", "doctor.md")
	want := reference()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the rules say: run go test ./doctor -run TestReference -update", file)
	}
}

func reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What the doctor finds\n\nWritten from the table of rules; a test holds them together. `ebb doctor` reads %s.\nRules that begin with L are those of `ebb doctor --live`, which looks at what runs.\nSeverity: error, jobs will be lost; warn, they probably will; info, it could be better.\n",
		strings.Join(strings.Fields(Formats), " "))
	for _, r := range slices.Concat(Rules, LiveRules) {
		fmt.Fprintf(&b, "\n## %s: %s\n\n**%s.** %s\n\nFix: %s\n", r.ID, r.Title, strings.ToUpper(r.Severity.String()[:1])+r.Severity.String()[1:], r.Why, r.Fix)
	}
	return b.String()
}

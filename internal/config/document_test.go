package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of the document anew")

const documented = "../../docs/reference/config.md"

// The document's table is that of the keys, and its example is right.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(documented)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for k := range Keys() {
		variable := ""
		if k.Env != "" {
			variable = "`" + k.Env + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", k.Name, variable, k.Default, k.Meaning)
	}
	const head = "| setting | variable | default | means |\n|---|---|---|---|\n"
	before, rest, ok := bytes.Cut(text, []byte(head))
	old, after, closed := bytes.Cut(rest, []byte("\n## "))
	if !ok || !closed {
		t.Fatalf("%s has no table", documented)
	}
	if *update {
		whole := string(before) + head + table.String() + "\n## " + string(after)
		if err := os.WriteFile(documented, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(old) != table.String() {
		t.Errorf("%s is not that of the keys: go test ./internal/config -run TestDocument -update", documented)
	}
	_, example, ok := strings.Cut(string(text), "```yaml\n")
	example, _, closed = strings.Cut(example, "```")
	if !ok || !closed {
		t.Fatalf("%s has no example", documented)
	}
	s := mustLoad(t, Input{}, example)
	if len(s.Groups) != 2 || len(s.Handlers) != 2 || s.Handlers[1].Notice == nil {
		t.Errorf("the example says %+v", s)
	}
}

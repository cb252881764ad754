package deploy_test

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProtectionDrawing: the drawing of the guide on protecting Sidekiq is its table;
// -update draws it.
func TestProtectionDrawing(t *testing.T) {
	t.Parallel()
	guides := filepath.Join("..", "docs", "guides")
	rows := table(t, read(t, filepath.Join(guides, "protect-sidekiq.md")))
	want, file := protection(rows), filepath.Join(guides, "protect-sidekiq.svg")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, file); got != want {
		t.Errorf("%s is not the guide's table: run go test ./deploy -run TestProtectionDrawing -update", file)
	}
}

// table is the first table of a document, its head first. A cell that says "the same"
// has what the one before it says.
func table(t *testing.T, document string) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(document) {
		inside, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !ok {
			if len(rows) > 0 && !strings.HasPrefix(line, "|") {
				break
			}
			continue
		}
		cells := strings.Split(strings.TrimSuffix(inside, " |"), " | ")
		for i := range cells {
			if cells[i] = strings.ReplaceAll(cells[i], "`", ""); cells[i] == "the same" {
				cells[i] = cells[i-1]
			}
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatal("the guide has no table")
	}
	return rows
}

// protection draws what becomes of a job: a line for each end of a process, a column for
// each layer.
func protection(rows [][]string) string {
	const left, wide, high = 196, 160, 58
	height := 66 + high*(len(rows)-1)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 %d" font-family="system-ui, sans-serif" font-size="14" role="img" aria-labelledby="title">`, height)
	line(`  <title id="title">What becomes of a running job, by how its process ends and by what protects it</title>`)
	line("  %s", style)
	line(`  <rect class="card" x="0.5" y="0.5" width="859" height="%d" rx="12"/>`, height-1)
	for y, row := range rows {
		for x, cell := range row {
			at, top := left+wide*(x-1), 50+high*(y-1)
			switch {
			case y == 0 && x > 0:
				line(`  <text x="%d" y="34" text-anchor="middle" font-weight="600">%s</text>`, at+wide/2, html.EscapeString(cell))
			case y > 0 && x == 0:
				line(`  <text x="20" y="%d">%s</text>`, top+33, html.EscapeString(cell))
			case y > 0:
				word, rest := split(cell)
				line(`  <rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, fate(word), at+3, top+3, wide-6, high-6)
				middle := top + 33
				if rest != "" {
					middle = top + 26
					line(`  <text class="dim" x="%d" y="%d" font-size="12" text-anchor="middle">%s</text>`, at+wide/2, top+43, html.EscapeString(rest))
				}
				line(`  <text x="%d" y="%d" text-anchor="middle" font-weight="600">%s</text>`, at+wide/2, middle, html.EscapeString(word))
			}
		}
	}
	line("</svg>")
	return b.String()
}

// split parts what becomes of a job from what else is said of it.
func split(cell string) (word, rest string) {
	if at := strings.IndexAny(cell, ":,"); at >= 0 {
		return cell[:at], strings.TrimSpace(strings.Split(cell[at+1:], ";")[0])
	}
	return cell, ""
}

func fate(word string) string {
	switch word {
	case "lost":
		return "rest"
	case "ends":
		return "on"
	}
	return "back"
}

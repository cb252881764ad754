//go:build ui

package browser

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// zipped is how many bytes of a file go over the wire to a browser.
func zipped(t testing.TB, address string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip") // named by hand it is not unpacked
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, answer.Status, err)
	}
	return int(n)
}

// Pages ask for little, and the program carries little for them.
func budgets(t *testing.T, l *large, s *site) {
	const scriptMost, styleMost, listMost, requestsMost, programMost = 24 << 10, 16 << 10, 60 << 10, 4, 640 << 10
	b := newTab(t)
	b.visit(l.at(s.root, "/jobs?state=retry"))
	scripts, styles := 0, 0
	for _, address := range evaluate[[]string](b, `performance.getEntriesByType("resource").map(e => e.name)`) {
		switch {
		case strings.HasSuffix(address, ".js"):
			scripts += zipped(t, address)
		case strings.HasSuffix(address, ".css"):
			styles += zipped(t, address)
		}
	}
	if scripts == 0 || scripts > scriptMost || styles == 0 || styles > styleMost {
		t.Errorf("a browser is sent %d bytes of script and %d of styles, want at most %d and %d", scripts, styles, scriptMost, styleMost)
	}
	largest, most := 0, 0
	for _, page := range pages {
		if !page.list {
			continue
		}
		b.visit(l.at(s.root, page.path))
		asked := evaluate[[]string](b, `[location.href, ...performance.getEntriesByType("resource").map(e => e.name).filter(a => !a.includes("/live?"))]`)
		_, body := get(t, l.at(s.root, page.path))
		largest, most = max(largest, len(body)), max(most, len(asked))
		if len(body) > listMost || len(asked) > requestsMost {
			t.Errorf("%s has %d bytes and makes %d requests, want at most %d and %d: %v", page.path, len(body), len(asked), listMost, requestsMost, asked)
		}
	}
	program := carried(t)
	if program > programMost {
		t.Errorf("the program carries %d bytes for its pages, want at most %d", program, programMost)
	}
	measured(t, "script %d bytes and styles %d over the wire; a list is at most %d bytes and %d requests besides its stream; the pages are %d bytes of the program", scripts, styles, largest, most, program)
}

var symbol = regexp.MustCompile(`(?m)^\s*[0-9a-f]+\s+(\d+) \S (github\.com/ebbjobs/ebb/web\.\S*)`)

// carried is how much of the program is package web: its code, and its files.
func carried(t testing.TB) (bytes int) {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range symbol.FindAllStringSubmatch(run(t, exec.Command("go", "tool", "nm", "-size", file)), -1) {
		n, _ := strconv.Atoi(m[1])
		bytes += n
	}
	for _, dir := range []string{"assets", "templates"} {
		bytes += sizeOf(t, os.DirFS("../../web/"+dir))
	}
	return bytes
}

func sizeOf(t testing.TB, files fs.FS) (bytes int) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += int(info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

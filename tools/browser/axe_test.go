//go:build ui

package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// axe is the source of axe-core, as npm has fetched it for the lock file.
var axe = sync.OnceValues(func() (string, error) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	home := filepath.Join(cache, "ebb-browser-tests", hex.EncodeToString(sum[:8]))
	source := filepath.Join("node_modules", "axe-core", "axe.min.js")
	text, err := os.ReadFile(filepath.Join(home, source))
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return string(text), err
	}
	if err := install(home); err != nil {
		return "", err
	}
	text, err = os.ReadFile(filepath.Join(home, source))
	return string(text), err
})

// install fetches into a folder of its own, which takes its name once it is whole.
func install(home string) error {
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(home), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s\nhint: apt-get install npm", err, out)
	}
	if err := os.Rename(dir, home); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// violation is a rule that a page breaks.
type violation struct {
	ID, Help string
	Nodes    []string
}

// judge runs axe's rules of WCAG 2.0 to 2.2, A and AA, on what the tab shows. With -short
// the first rows of a list stand for those after them, which are made alike.
func (b *tab) judge(of string) (rules int) {
	b.Helper()
	what := `document`
	if testing.Short() {
		what = `{exclude: [["tbody:nth-of-type(n+5)"], ["tbody tr:nth-child(n+5)"]]}`
	}
	source, err := axe()
	if err != nil {
		b.Fatal(err)
	}
	if !evaluate[bool](b, `"axe" in window`) {
		b.do(chromedp.Evaluate[chromedp.Void](source))
	}
	found := awaited[struct {
		Passes     int
		Violations []violation
	}](b, `axe.run(`+what+`, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"]}).then(r => ({
		passes: r.passes.length,
		violations: r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.target.join(" ") + ": " + n.failureSummary.replace(/\s+/g, " "))})),
	}))`)
	for _, v := range found.Violations {
		b.Errorf("%s: axe: %s (%s)\n  %s", of, v.ID, v.Help, strings.Join(v.Nodes[:min(3, len(v.Nodes))], "\n  "))
	}
	if found.Passes == 0 {
		b.Errorf("%s: axe found nothing to look at", of)
	}
	return found.Passes + len(found.Violations)
}

// A page that is wrong is seen to be: the checks of pages that pass mean something.
func TestJudge(t *testing.T) {
	t.Parallel()
	spy := &recorder{TB: t}
	b := newTab(t)
	evaluate[string](b, `document.body.innerHTML = "<img src=x><button></button><p style='color:#ccc'>pale</p>"`)
	b.complaints()
	b.TB = spy
	b.judge("a bad page")
	b.TB = t
	for _, rule := range []string{"image-alt", "button-name", "color-contrast", "html-has-lang"} {
		if !strings.Contains(spy.text.String(), "axe: "+rule) {
			t.Errorf("axe says nothing of %s:\n%s", rule, &spy.text)
		}
	}
}

// recorder keeps errors instead of failing.
type recorder struct {
	testing.TB
	text strings.Builder
}

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

//go:build ui

package browser

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var figuresFile = flag.String("figures", "", "write what was measured to this `file` if all tests pass")

// bounds has the times that people are to wait at most asserted: on a machine that does
// nothing else. Elsewhere they are only measured.
var bounds = flag.Bool("bounds", false, "fail in the end if people wait longer than they are to")

// atMost notes that people wait too long, where that can be told.
func atMost(t testing.TB, what string, took, want time.Duration) {
	t.Helper()
	if *bounds && took > want {
		exceeded.Store(true)
		measured(t, "**too long**: %s took %s, want at most %s", what, ms(took), ms(want))
	}
}

var exceeded atomic.Bool

// figure is what one test has measured.
type figure struct{ test, text string }

var figures struct {
	sync.Mutex
	all []figure
}

// measured prints a figure that people want to see of tests that pass, too.
func measured(t testing.TB, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Attr("measured", text)
	figures.Lock()
	defer figures.Unlock()
	figures.all = append(figures.all, figure{t.Name(), text})
}

// writeFigures writes a page of all that was measured, and of what.
func writeFigures(file string) error {
	var of [4]string
	for i, command := range [][]string{{"git", "describe", "--always", "--dirty"}, {"chromium", "--version"}, {"redis-server", "--version"}, {"nproc"}} {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			return fmt.Errorf("%v: %w", command, err)
		}
		of[i] = strings.TrimSpace(string(out))
	}
	redis, _, _ := strings.Cut(of[2], " sha")
	var page strings.Builder
	fmt.Fprintf(&page, figuresHead, time.Now().Format(time.DateOnly), of[0], of[3], of[1], redis)
	slices.SortStableFunc(figures.all, func(a, b figure) int { return strings.Compare(a.test, b.test) })
	for _, f := range figures.all {
		fmt.Fprintf(&page, "| %s | %s |\n", words(f.test), strings.ReplaceAll(f.text, "|", "\\|"))
	}
	return os.WriteFile(file, []byte(page.String()), 0o644)
}

var hump = regexp.MustCompile(`[A-Z]`)

// words are the name of a test as a person would write it.
func words(test string) string {
	test = strings.TrimPrefix(strings.TrimPrefix(test, "TestLarge/"), "Test")
	test = hump.ReplaceAllStringFunc(test, func(c string) string { return " " + strings.ToLower(c) })
	return strings.NewReplacer("_", " ", "//", ": /").Replace(strings.TrimSpace(test))
}

const figuresHead = `# What a browser sees of the pages

Measured on %s at commit %s by ` + "`make check-ui`" + `, which writes this page: %s cores of a
shared virtual machine, %s, %s. The store has a million retries, 1,000 queues, and 200 processes that run 5,000
jobs; crews of processes that are stopped and killed have a store of their own. CI runs the same checks and holds them to
everything but the times, which depend on the machine: for those it says here what was wanted.
Other machines share the processor, so that times are those of the best of a few rounds.

| check | measured |
|---|---|
`

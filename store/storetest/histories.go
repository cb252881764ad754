package storetest

import (
	"cmp"
	"embed"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// saved are histories that have found something, in a store that was wrong or that a
// protection was taken out of. The first line of a file says what.
//
//go:embed testdata/histories/*.txt
var saved embed.FS

const (
	savedIn      = "testdata/histories"
	historySteps = 80
)

// histories plays those that are saved, and then random ones. A failure is made as
// small as it goes. STORETEST_HISTORIES says how many are random, and
// STORETEST_HISTORY plays the one that a failure has printed instead.
func histories(t *testing.T, open func(t *testing.T) Instance) {
	if one := os.Getenv("STORETEST_HISTORY"); one != "" {
		steps, err := read(one)
		if err != nil {
			t.Fatal(err)
		}
		checkHistory(t, open, steps)
		return
	}
	for name, steps := range savedHistories(t) {
		t.Run(name, func(t *testing.T) { checkHistory(t, open, steps) })
	}
	var n int
	t.Run("how many", func(t *testing.T) { n = cmp.Or(open(t).Histories, 10) })
	if asked, err := strconv.Atoi(os.Getenv("STORETEST_HISTORIES")); err == nil {
		n = asked
	}
	rng := rand.New(rand.NewPCG(seed(t), 0))
	steps := make([]byte, historySteps*stepSize)
	for range n {
		for i := range steps {
			steps[i] = byte(rng.Uint32())
		}
		if checkHistory(t, open, steps); t.Failed() {
			return
		}
	}
}

func savedHistories(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := saved.ReadDir(savedIn)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		text, err := saved.ReadFile(path.Join(savedIn, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		_, history, _ := strings.Cut(string(text), "\n")
		steps, err := read(history)
		if err != nil {
			t.Fatalf("%s: %v", f.Name(), err)
		}
		all[strings.TrimSuffix(f.Name(), ".txt")] = steps
	}
	return all
}

// Fuzz looks for histories that a driver gets wrong, as Run does, led by what they
// reach in its code. What it finds is played again by every run of the tests; what
// may be of use to other drivers belongs into the suite.
func Fuzz(f *testing.F, open func(t *testing.T) Instance) {
	for _, steps := range savedHistories(f) {
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		if story, failed := play(t, open, steps[:min(len(steps), historySteps*stepSize)]); failed != "" {
			t.Fatalf("%s%s", told(story), failed)
		}
	})
}

// checkHistory plays one, each time with a store of its own.
func checkHistory(t *testing.T, open func(t *testing.T) Instance, steps []byte) {
	t.Helper()
	var story []string
	var failed wrong
	goesWrong := func(steps []byte) bool {
		var s []string
		var f wrong
		t.Run("played", func(t *testing.T) { s, f = play(t, open, steps) })
		if f != "" {
			story, failed = s, f
		}
		return f != ""
	}
	if goesWrong(steps) {
		smallest := shrink(steps, goesWrong)
		t.Errorf("\n%s%s\nSTORETEST_HISTORY=%q", told(story), failed, written(smallest))
	}
}

// shrink leaves out steps, many at first, and makes what is left of them plainer, as
// long as the history goes wrong all the same.
func shrink(steps []byte, goesWrong func([]byte) bool) []byte {
	steps = steps[:len(steps)/stepSize*stepSize]
	try := func(other []byte) bool {
		if !goesWrong(other) {
			return false
		}
		steps = other
		return true
	}
	for before := []byte(nil); !slices.Equal(before, steps); {
		before = steps
		for n := len(steps); n >= stepSize; n = n / 2 / stepSize * stepSize {
			for at := 0; at+n <= len(steps); {
				if !try(slices.Concat(steps[:at], steps[at+n:])) {
					at += n
				}
			}
		}
		for at := range steps {
			for _, plainer := range []byte{0, 1, 2} {
				other := slices.Clone(steps)
				if other[at] = plainer; at%stepSize > 0 && plainer < steps[at] && try(other) {
					break
				}
			}
		}
	}
	return steps
}

package storetest

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A history is what a few processes, a rescuer, a person and a network that repeats
// and delays requests do to a store, step by step. It is made of bytes, so that it
// can be drawn at random and made smaller: the first of each step says what happens
// and the others decide how. Any bytes are a history, and so is what is left of one
// when a step is taken out.
const stepSize = 12

// kinds are what may happen in a step, some of it more often than the rest.
var kinds = []struct {
	name  string
	often int
	do    func(*history)
}{
	{"push", 5, (*history).push},
	{"fetch", 8, (*history).fetch},
	{"judge", 10, (*history).judge},
	{"again", 6, (*history).again},
	{"boot", 2, (*history).boot},
	{"beat", 3, (*history).beat},
	{"giveback", 2, (*history).giveBack},
	{"look", 3, (*history).look},
	{"rescue", 3, (*history).rescue},
	{"promote", 2, (*history).promote},
	{"die", 1, (*history).die},
	{"vanish", 1, (*history).vanish},
	{"freeze", 1, (*history).freeze},
	{"suspect", 1, (*history).suspect},
	{"mistake", 1, (*history).mistake},
	{"leave", 1, (*history).leave},
	{"move", 3, (*history).move},
	{"delete", 1, (*history).delete},
	{"undo", 2, (*history).undo},
	{"pause", 1, (*history).pause},
	{"command", 1, (*history).command},
}

// kindOf is the index of a step's kind.
func kindOf(step []byte) int {
	all := 0
	for _, k := range kinds {
		all += k.often
	}
	n := int(step[0]) % all
	for i, k := range kinds {
		if n -= k.often; n < 0 {
			return i
		}
	}
	panic("unreachable")
}

// written is a history to be read, one step after the other; zeros at the end of a
// step go without saying.
func written(steps []byte) string {
	var b strings.Builder
	for step := range slices.Chunk(steps, stepSize) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(kinds[kindOf(step)].name)
		for _, n := range bytes.TrimRight(step[1:], "\x00") {
			fmt.Fprint(&b, " ", n)
		}
	}
	return b.String()
}

// read is the history that is written so, its steps ended by semicolons or lines.
func read(text string) (steps []byte, err error) {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		step, first := make([]byte, stepSize), 0
		for _, k := range kinds {
			if k.name == words[0] {
				break
			}
			first += k.often
		}
		if step[0] = byte(first); kinds[kindOf(step)].name != words[0] || len(words) > stepSize {
			return nil, fmt.Errorf("%q is no step of a history", line)
		}
		for i, word := range words[1:] {
			n, err := strconv.ParseUint(word, 10, 8)
			if err != nil {
				return nil, fmt.Errorf("%q is no step of a history: %w", line, err)
			}
			step[1+i] = byte(n)
		}
		steps = append(steps, step...)
	}
	return steps, nil
}

// saved are histories that have found something, in a store that was wrong or that a
// protection was taken out of. The first line of a file says what.
//
//go:embed testdata/histories/*.txt
var saved embed.FS

const (
	savedIn      = "testdata/histories"
	historySteps = 80
)

// histories plays those that are saved, and then random ones.
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
	next := randomHistories(seed(t))
	for range n {
		if checkHistory(t, open, next()); t.Failed() {
			return
		}
	}
}

// randomHistories returns a function that draws them.
func randomHistories(seed uint64) func() []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func() []byte {
		steps := make([]byte, historySteps*stepSize)
		for i := range steps {
			steps[i] = byte(rng.Uint32())
		}
		return steps
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

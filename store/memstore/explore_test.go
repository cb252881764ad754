package memstore_test

import (
	"flag"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

var depth = flag.Int("explore.depth", 4, "steps of each history that TestExplore goes through, and half of that from each trace")

// traces broke earlier drafts of the protocol, one rule each. The jobs are two, in
// one queue; a and b are processes, and b rescues.
var traces = []struct {
	name, threatens string
	steps           []string
}{
	{
		"a late fetch takes from a range that was answered",
		"a holds a job that it does not know of, and that nobody runs",
		[]string{"a fetches, which is late", "a fetches", "a acks", "again: fetch 1 of a"},
	},
	{
		"a late copy of a fetch takes more",
		"a holds a job that it does not know of, and that nobody runs",
		[]string{"a fetches", "a acks", "again: fetch 1 of a"},
	},
	{
		"a second rescue takes a token that was given out again",
		"two hold the verdict on one job",
		[]string{"a fetches", "a is taken for dead", "b rescues", "a beats", "a fetches", "again: rescue of a", "b fetches"},
	},
	{
		"a process leaves with a fetch that it heard nothing of",
		"a job is held by a process that has left, and nobody looks there",
		[]string{"a fetches and hears nothing", "a leaves"},
	},
	{
		"a process leaves with a fetch on its way",
		"a job is held by a process that has left, and nobody looks there",
		[]string{"a fetches", "a fetches, which is late", "a leaves, deaf", "again: fetch 2 of a"},
	},
	{
		"a process that held nothing dies, and its fetch comes later",
		"a job is held by a process that was forgotten, and nobody looks there",
		[]string{"a fetches, which is late", "a dies", "b looks for orphans", "b rescues", "again: fetch 1 of a"},
	},
	{
		"a rescue comes after a beat of the owner",
		"a job is taken from a process that lives and runs it",
		[]string{"a fetches", "a's lease ends", "b looks for orphans", "a beats", "b rescues", "b fetches"},
	},
	{
		"a suspicion comes after the doorbell is back",
		"a job is taken from a process that lives and runs it",
		[]string{"a fetches", "a's bell goes down", "a's bell is back", "again: suspicion of a", "a moment passes", "b looks for orphans", "b fetches"},
	},
	{
		"a give-back comes between an ack and its repeat",
		"a verdict is given twice, once on a job that is another's by now",
		[]string{"a fetches", "a requeues", "a fetches and hears nothing", "a beats", "b fetches", "again: verdict 1 of a", "b acks", "again: verdict 2 of a"},
	},
	{
		"a beat comes after its process has left",
		"a process that is gone is taken for living, and may fetch",
		[]string{"a fetches, which is late", "a leaves", "again: beat 1 of a", "again: fetch 1 of a"},
	},
}

// TestTraces goes through them, and looks around after each step.
func TestTraces(t *testing.T) {
	t.Parallel()
	for _, tt := range traces {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			for i, name := range tt.steps {
				if !w.step(name) {
					t.Fatalf("%q cannot happen after %q", name, tt.steps[:i])
				}
				if w.check(); len(w.wrong) > 0 {
					t.Fatalf("after %q: %s\nthreatened: %s", tt.steps[:i+1], strings.Join(w.wrong, "\n"), tt.threatens)
				}
			}
			if w.settle(); len(w.wrong) > 0 {
				t.Fatalf("in the end: %s\nthreatened: %s", strings.Join(w.wrong, "\n"), tt.threatens)
			}
		})
	}
}

// beginnings are what TestExplore goes on from: nothing, and each trace after each of
// its steps but the last.
func beginnings() (all [][]string) {
	seen := map[string]bool{}
	for _, tt := range traces {
		for n := range tt.steps {
			if key := strings.Join(tt.steps[:n], "; "); !seen[key] {
				seen[key] = true
				all = append(all, tt.steps[:n])
			}
		}
	}
	return all
}

// TestExplore goes through every history of a few steps, from each beginning, that
// two processes, a rescuer and a network can make of two jobs. Processes stall, are
// frozen, die, leave, lose their doorbell; the network loses requests and replies,
// and delivers any request a second time, however late. After each step every job
// must be in one place, unless it is acked; nobody may be given a job that another
// has in hand, nor lose one, unless its lease had ended; and a late copy of a fetch
// must take nothing. In the end all die, and every job must come back.
func TestExplore(t *testing.T) {
	t.Parallel()
	for _, beginning := range beginnings() {
		name := "from " + strings.Join(beginning, "; ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			histories, depth := 0, *depth
			// There is but one goroutine, and the race detector makes it ten times slower.
			if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
				depth--
			}
			if len(beginning) > 0 {
				depth /= 2
			}
			explore(t, beginning, depth, &histories)
			t.Logf("%d histories", histories)
		})
	}
}

func explore(t *testing.T, history []string, depth int, histories *int) {
	w := newWorld()
	for _, name := range history {
		w.step(name)
	}
	w.check()
	var next []string
	for _, s := range steps {
		if s.can(w) {
			next = append(next, s.name)
		}
	}
	for _, l := range w.late {
		next = append(next, "again: "+l.name)
	}
	if depth == 0 {
		w.settle()
	}
	if *histories++; len(w.wrong) > 0 {
		t.Errorf("%s\n\tafter: %s", strings.Join(w.wrong, "\n\t"), strings.Join(history, "; "))
	}
	if depth == 0 {
		return
	}
	for _, name := range next {
		if !t.Failed() {
			explore(t, append(slices.Clip(history), name), depth-1, histories)
		}
	}
}

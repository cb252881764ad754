//go:build unix && slow

package mixedtest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbjobs/ebb/store"
)

// TestRollBack takes a deploy back: this release makes the store and uses all of it,
// then the old one has it alone, and then this one again.
func TestRollBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *site) {
		l := ledger{site: s, deleted: 1}
		s.ebb(newer, "", "jobs", "delete", s.enqueue(newer, 1, "Works")[0], "--yes")
		dead := s.enqueue(newer, 1, "Works", `"in":"1h"`)
		s.ebb(newer, "", "jobs", "bury", dead[0], "--yes")
		s.ebb(newer, "", "queues", "pause", "paused")
		crossing := s.begin(newer)
		waiting := slices.Concat(s.enqueue(newer, 3, "Works"), s.enqueue(newer, 1, "Works", `"queue":"paused"`))

		// The old one reads it all …
		read := func(args ...string) string { return s.ebb(older, "", append(args, "-o", "json")...) }
		for what, has := range map[string][]string{
			read("stops", "ls"):           {"SIGTERM"},
			read("audit"):                 {"delete", "bury"},
			read("queues", "ls"):          {"paused"},
			read("jobs", "ls"):            slices.Concat(crossing, waiting, dead),
			read("jobs", "show", dead[0]): {"dead"},
		} {
			for _, word := range has {
				if !strings.Contains(what, word) {
					s.Errorf("the old release does not find %s in\n%s", word, what)
				}
			}
		}
		// … takes back, goes on, and does.
		s.ebb(older, "", "undo", "--yes") // the bury, which was the last
		s.ebb(older, "", "queues", "resume", "paused")
		s.ebb(older, "", "jobs", "reschedule", "--all", "--in", "100ms", "--yes", "--state", "scheduled,retry")
		w := s.work(older)
		s.eventually("what the new one left, done by the old one", func() bool { return s.has("done", slices.Concat(crossing, waiting, dead)...) })
		w.end(syscall.SIGTERM)
		l.crossed(crossing, newer)

		// And forward again.
		crossing = s.begin(older)
		s.ebb(newer, "", "jobs", "reschedule", "--all", "--in", "100ms", "--yes", "--state", "scheduled,retry")
		w = s.work(newer)
		s.eventually("what the old one left, done by the new one", func() bool { return s.has("done", crossing...) })
		w.end(syscall.SIGTERM)
		l.crossed(crossing, older)
		l.close(2)
	})
}

// begin lets a release begin one job of each kind and leave, in the order that
// ledger.crossed wants.
func (s *site) begin(r *release) (jids []string) {
	s.Helper()
	w := s.work(r)
	for _, kind := range []string{"Carries", "Fails", "Snoozes"} {
		jids = append(jids, s.enqueue(r, 1, kind)...)
	}
	s.eventually("the first runs", func() bool { return s.has("begun", jids...) })
	w.end(syscall.SIGTERM)
	return append(jids, s.enqueue(r, 1, "Works", `"in":"1h"`)...)
}

// remembered is a history with what the old release does not know of: the job is a
// suspect, and was alone in one of its crashes.
const remembered = `{"n":2,"x":2,"s":true,"log":[{"t":1700000000.5,"w":"rescued","c":"crash","by":"b:2:y","m":"a:1:x","a":true}],"later":[1]}`

// TestUnknownHistory lets the old release handle jobs that remember what it does
// not know of. What it moves keeps every byte; where it adds to a history, it keeps
// all that this says of the job, and of each event what it knows.
func TestUnknownHistory(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *site) {
		var lines strings.Builder
		jids := map[string]string{}
		for i, kind := range []string{"Carries", "Fails", "Snoozes", "Works"} {
			jids[kind] = fmt.Sprintf("%024d", i)
			fmt.Fprintf(&lines, `{"class":%q,"args":[],"jid":%q,"queue":"default","retry":true,"created_at":1700000000.25,"ebb":%s}`+"\n", kind, jids[kind], remembered)
		}
		s.ebb(newer, lines.String(), "enqueue", "--from", "-")
		s.ebb(older, "", "jobs", "reschedule", jids["Works"], "--in", "1h", "--yes")
		w := s.work(older)
		s.eventually("the first runs", func() bool { return s.has("begun", jids["Carries"], jids["Fails"], jids["Snoozes"]) })
		w.end(syscall.SIGTERM)

		later := s.in(store.Scheduled)
		if p := later[jids["Works"]]; !bytes.Contains(p, []byte(`"ebb":`+remembered)) {
			s.Errorf("moved: %s", p)
		}
		for _, tt := range []struct {
			payload []byte
			n       float64
			events  []string // by the old release
		}{
			{s.in(store.Retrying)[jids["Fails"]], 2, []string{"resumed"}},
			{later[jids["Snoozes"]], 2, []string{"resumed", "snoozed"}},
			{s.ready("default")[jids["Carries"]], 3, []string{"resumed", "interrupted"}},
		} {
			h := history(s, tt.payload)
			if h["s"] != true || h["x"] != 2.0 || h["n"] != tt.n || fmt.Sprint(h["later"]) != "[1]" {
				s.Errorf("what it says of the job: %s", tt.payload)
			}
			var events []string
			log, _ := h["log"].([]any)
			for _, e := range log {
				events = append(events, fmt.Sprint(e.(map[string]any)["w"]))
			}
			if !slices.Equal(events, append([]string{"rescued"}, tt.events...)) {
				s.Fatalf("events %q in %s", events, tt.payload)
			}
			if was := log[0].(map[string]any); was["c"] != "crash" || was["by"] != "b:2:y" || was["m"] != "a:1:x" || was["t"] != 1700000000.5 {
				s.Errorf("what it says of the crash: %s", tt.payload)
			}
		}

		s.ebb(newer, "", "jobs", "reschedule", "--all", "--in", "100ms", "--yes", "--state", "scheduled,retry")
		w = s.work(newer)
		s.eventually("all done", func() bool {
			return s.has("done", jids["Carries"], jids["Fails"], jids["Snoozes"], jids["Works"])
		})
		w.end(syscall.SIGTERM)
	})
}

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// TestRolloutFails: a pipeline is told when the release that went lost a job, also where
// the new one has taken over.
func TestRolloutFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inFlight int // jobs that ran when the stop began; what became of one is known
		exit     int
		says     []string
	}{
		"nothing is lost": {1, exitOK, []string{"v143 is alone. 1 stopped, 1 job touched, 0 lost"}},
		"jobs are":        {3, exitFailed, []string{"v143 is alone. 1 stopped, 1 job touched, 2 lost", "ebb: 2 jobs lost", "hint: ebb stops ls"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + filepath.Join(t.TempDir(), "ebb.db")
			s, err := storeurl.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			old, next := store.Identity("host-1:7:0123456789ab"), store.Identity("host-1:8:0123456789ab")
			now := time.Now()
			beat := func(id store.Identity, release string) {
				t.Helper()
				p := store.Presence{ID: id, Release: release, State: "running", Started: now.Add(-time.Second)}
				if _, err := s.Beat(t.Context(), p, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			beat(old, "v142")
			beat(next, "v143")
			if err := s.Leave(t.Context(), store.Call{By: old, Lane: store.LaneVerdict, Seq: 1}, store.Farewell{ID: old, Report: store.StopReport{
				ID: old, Release: "v142", Reason: "SIGTERM", Began: now.Add(-time.Second), Ended: now, Grace: time.Minute,
				Phases: []store.Phase{{Name: "draining", Took: time.Second, InFlight: c.inFlight}},
				Jobs:   []store.Fate{{JID: "0001", Kind: "ReportJob", Fate: "finished"}},
			}}); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the answer is the same again
				exit, said := called(t, []string{"rollout", "status", "v143", "--timeout", "10s"}, "EBB_STORE="+url)
				if exit != c.exit {
					t.Errorf("exit %d, want %d", exit, c.exit)
				}
				for _, want := range c.says {
					if !strings.Contains(said, want) {
						t.Errorf("it did not say %q, but\n%s", want, said)
					}
				}
			}
		})
	}
}

// TestRolloutTellsOnce follows a release through a store that changes at each look.
func TestRolloutTellsOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	process := func(id, release, state string, busy int) store.Process {
		p := store.Process{Presence: store.Presence{ID: store.Identity(id), Release: release, State: state, Started: now, Busy: make([]store.Run, busy),
			Turns: []store.Turn{{State: "running", At: now.Add(-time.Hour)}, {State: state, At: now}}}, Lang: "go", Beat: now}
		if state == "draining" {
			p.KillAt, p.Grace = now.Add(2*time.Minute), 2*time.Minute
		}
		if state == "running" {
			p.Turns = p.Turns[:1]
		}
		return p
	}
	next := process("h:9:z", "v143", "running", 0)
	gone := store.StopReport{ID: "h:1:a", Release: "v142", Reason: "SIGTERM", Began: now, Ended: now.Add(time.Second), Grace: 2 * time.Minute,
		Phases: []store.Phase{{Name: "draining", Took: time.Second, InFlight: 1}}, Jobs: []store.Fate{{JID: "1", Fate: "handed back"}}}
	killed := store.StopReport{ID: "h:2:b", Release: "v142", Reason: "vanished", By: "h:9:z", Heard: now, Ended: now.Add(1400 * time.Millisecond), Jobs: []store.Fate{{JID: "2", Fate: "rescued"}}}
	s := &moving{looks: []look1{
		{processes: []store.Process{process("h:1:a", "v142", "running", 1), process("h:2:b", "v142", "running", 1)}},
		{processes: []store.Process{process("h:1:a", "v142", "draining", 6), process("h:2:b", "v142", "running", 1), next}},
		{processes: []store.Process{process("h:1:a", "v142", "draining", 2), process("h:2:b", "v142", "running", 1), next}},
		{processes: []store.Process{process("h:2:b", "v142", "running", 1), next}, stops: []store.StopReport{gone}},
		{processes: []store.Process{next}, stops: []store.StopReport{killed, gone}},
	}}
	a, out, said := appOn(s)
	f := &following{app: a, release: "v143", info: rolloutInfo{Events: []rolloutEvent{}}, seen: map[string]bool{}}
	if err := f.run(t.Context(), s, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		got = append(got, strings.Join(cells[1:5], " "))
	}
	want := []string{
		"v142 h:1:a draining 6 left",
		"v142 h:1:a stopped 1 handed back",
		"v142 h:2:b vanished no TERM; 1 rescued in 1.4 s",
		"v143  alone v143 is alone. 1 stopped, 1 vanished, 2 jobs touched, 0 lost, longest stop 1 s of 120.",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Count(said.String(), "no process of v143 has been seen yet") != 1 {
		t.Errorf("it said\n%s", said)
	}
}

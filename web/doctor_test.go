package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/doctor"
	"github.com/ebbjobs/ebb/store"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	seePage(t, open(t, Options{}), "/doctor", "No process lives that could be asked")

	s := &pastStore{stops: []store.StopReport{{ID: "w/1:7:0123456789ab", Ended: time.Now(), Notes: []string{"killed, as L01 says"}, Jobs: []store.Fate{{JID: "a", Fate: "rescued"}, {JID: "b", Fate: "rescued"}}}}}
	ui := openPast(t, s, Options{Explain: func(text string) (Rule, bool) {
		rule, ok := doctor.Explain(text)
		return Rule{ID: rule.ID, Why: rule.Why, Fix: rule.Fix}, ok
	}})
	for i := range 8 {
		id := store.Identity(fmt.Sprintf("host-%d:7:0123456789ab", i))
		p := store.Presence{ID: id, State: "running", Warnings: []string{"grace of 10s is assumed", hostileName}}
		if i == 0 {
			p.Warnings = append(p.Warnings, "PID 1 is sh, which ignores TERM and tells nobody")
		}
		if _, err := s.Beat(t.Context(), p, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	body := seePage(t, ui, "/doctor", "Grace of 10s is assumed.", "ebb doctor --explain L06", "ebb doctor --explain L01", "exec, or ebb init.", "and 3 others",
		`href="/stops/w%2F1:7:0123456789ab">2 jobs, 0 lost`, `href="/processes/host-0:7:0123456789ab"`)
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "\u202e") {
		t.Error("a finding does what it wants")
	}
	if strings.Index(body, "Grace of 10s") > strings.Index(body, "PID 1 is sh") {
		t.Error("what most processes found comes first")
	}
}

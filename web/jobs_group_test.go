package web

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/wire"
)

// TestJobsOfAGroup: what needs somebody leads to the failures of one group, all of them,
// and to no others.
func TestJobsOfAGroup(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	payloads := many(70)
	for i := range payloads[:40] {
		payloads[i] = []byte(strings.Replace(string(payloads[i]), "declined", "expired", 1))
	}
	y.retrying(payloads...)
	job, err := wire.Parse(payloads[69])
	y.must(err)
	id := fleet.GroupID(fleet.GroupOf(job))
	w := y.get(new(summary).Way(fleet.Need{Kind: "error", ID: id}))
	y.page(w, 303)
	target := w.Header().Get("Location")
	if got := rowsOf(y.page(y.get(target), 200)); len(got) != 30 || got[0] != jid(40) {
		t.Errorf("%s: %v", target, got)
	}
	_, query, _ := strings.Cut(target, "?")
	var last found
	for line := range strings.Lines(y.page(y.get("/jobs/search?"+query), 200)) {
		y.must(json.Unmarshal([]byte(line), &last))
	}
	if last.Found != 30 || last.Looked != 70 {
		t.Errorf("%+v", last)
	}
}

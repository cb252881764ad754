package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func record(t *testing.T, ui *UI, changes ...store.Change) {
	t.Helper()
	for _, c := range changes {
		if err := ui.store.Record(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	changes := []store.Change{
		{ID: "aaaa0001", By: "ann@host", Verb: "delete", What: "kind:Mail", Why: "spam", Wanted: 10, Done: 10, Began: now.Add(-time.Minute), Ended: now, Until: now.Add(5 * time.Minute)},
		{ID: "aaaa0002", By: "bob@host", Verb: "retry", What: "all", Wanted: 10, Done: 4, Missed: 1, Began: now.Add(-time.Hour), Rest: json.RawMessage(`{"secret":"args"}`)},
		{ID: "aaaa0003", By: hostileName, Verb: "pause", What: hostileName, Done: 1, Began: now.Add(-2 * time.Hour), Ended: now.Add(-2 * time.Hour)},
	}
	seePage(t, open(t, Options{}), "/audit", "Nobody has changed anything yet")

	ui := open(t, Options{})
	record(t, ui, changes...)
	body := seePage(t, ui, "/audit", "3 changes", "/audit/aaaa0001/undo", `aria-label="Undo delete kind:Mail"`, "“<bdi>spam</bdi>”", `href="/bulk/aaaa0002"`, "4 of 10", "(1 had moved on)")
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "/audit/aaaa0002/undo") || strings.Contains(body, "/bulk/aaaa0001") {
		t.Error("it offers what cannot be, or a name does what it wants")
	}
	body = seePage(t, ui, "/audit?verb=retry&who=BOB", "1 change of 3", "aaaa0002")
	if strings.Contains(body, "aaaa0001") {
		t.Error("not filtered")
	}
	seePage(t, ui, "/audit?who=nobody&page=-3", "No change is like that")

	t.Run("as JSON", func(t *testing.T) {
		t.Parallel()
		w := ask(ui, "GET", "/audit.json?verb=retry")
		var rows []exported
		if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil || len(rows) != 1 || rows[0].Status != "unfinished" || rows[0].Done != 4 {
			t.Errorf("%v %s", err, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Error("what going on needs went out")
		}
		if w := ask(ui, "GET", "/audit.json?verb=none"); strings.TrimSpace(w.Body.String()) != "[]" {
			t.Errorf("nothing is %s", w.Body)
		}
	})
	t.Run("offers an operator what one may take back", func(t *testing.T) {
		t.Parallel()
		ui := open(t, Options{Role: func(User) Role { return Operator }})
		record(t, ui, changes...)
		record(t, ui, store.Change{ID: "aaaa0004", By: "ann", Verb: "retry", What: "all", Wanted: 2, Done: 2, Began: now, Ended: now, Until: now.Add(5 * time.Minute)})
		for _, at := range []string{"/audit", "/audit?change=aaaa0001"} {
			if body := seePage(t, ui, at, "/audit/aaaa0004/undo"); strings.Contains(body, "/audit/aaaa0001/undo") {
				t.Errorf("%s offers what only an admin may", at)
			}
		}
	})
	t.Run("offers a viewer nothing to change", func(t *testing.T) {
		t.Parallel()
		for name, opt := range map[string]Options{"viewer": {Role: func(User) Role { return Viewer }}, "read-only": {ReadOnly: true}} {
			ui := open(t, opt)
			record(t, ui, changes...)
			if body := seePage(t, ui, "/audit", "aaaa0001"); strings.Contains(body, "/undo") || strings.Contains(body, "/bulk/") {
				t.Errorf("%s may change", name)
			}
		}
	})
	t.Run("in pages", func(t *testing.T) {
		t.Parallel()
		ui := open(t, Options{})
		for i := range 120 {
			record(t, ui, store.Change{ID: fmt.Sprintf("%08x", i), By: "ann", Verb: "retry", What: strings.Repeat("x", 100), Began: now.Add(-time.Duration(i) * time.Second), Ended: now})
		}
		first := seePage(t, ui, "/audit", "120 changes", `rel="next" href="/audit?page=2"`)
		if strings.Contains(first, `rel="prev"`) || strings.Count(first, "<tr id=") != auditRows || len(first) > 60_000 {
			t.Errorf("the first page: %d bytes", len(first))
		}
		last := seePage(t, ui, "/audit?page=3", `rel="prev" href="/audit?page=2"`)
		if strings.Contains(last, `rel="next"`) || strings.Count(last, "<tr id=") != 20 {
			t.Error("the last page")
		}
	})
}

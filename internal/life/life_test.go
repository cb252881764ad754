package life

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

const jid = "0199aa00bb00cc0000000001"

func words(events []Event) (lines []string) {
	for _, e := range events {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.What, e.Cause, e.Note, e.Release)))
	}
	return lines
}

// TestLifeOfAJob puts together what its payload and a stop report tell of one
// interruption: it is told once, with the way to the report.
func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	st := memstore.New(memstore.Options{})
	defer st.Close()
	ctx, id, now := t.Context(), store.NewIdentity(), time.Now()
	if _, err := st.Beat(ctx, store.Presence{ID: id}, time.Minute); err != nil {
		t.Fatal(err)
	}
	report := store.StopReport{ID: id, Release: "v142", Ended: now, Jobs: []store.Fate{{JID: jid, Kind: "K", Queue: "q", Fate: "handed back", Note: "at 63 %"}}}
	if err := st.Leave(ctx, store.Call{By: id, Seq: 1}, store.Farewell{ID: id, Report: report}); err != nil {
		t.Fatal(err)
	}
	job, err := wire.Parse(fmt.Appendf(nil, `{"class":"K","args":[],"jid":%q,"queue":"q","created_at":%d.5}`, jid, now.Add(-time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	var h wire.History
	h.Interruptions = 1
	h.Add(wire.Event{At: now, What: "interrupted", Cause: "deploy", By: string(id)})
	j, err := Of(ctx, st, store.Entry{Place: store.Ready, Queue: "q", Payload: job.WithHistory(h)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"created", "interrupted deploy at 63 % v142"}, words(j.Events)); diff != "" || j.State != "ready" || j.Events[1].Stop != id {
		t.Errorf("%s %+v (-want +got):\n%s", j.State, j.Events[1], diff)
	}
}

// A beginning that the job's own log tells of is told once.
func TestRunningIsToldOnce(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	for name, c := range map[string]struct {
		logged time.Time
		want   int
	}{"the same": {now, 1}, "one before": {now.Add(-time.Minute), 2}} {
		p := store.Process{Presence: store.Presence{ID: "h:1:a", Release: "v143"}}
		p.Busy = []store.Run{{JID: jid, Since: now.Add(time.Millisecond)}}
		j := &Job{JID: jid, Wire: &wire.Job{History: wire.History{Interruptions: 1}}, Process: &p, Events: []Event{{At: c.logged, What: "resumed", By: "h:1:a"}}}
		if j.running(); len(j.Events) != c.want || j.Events[c.want-1].Release != "v143" {
			t.Errorf("%s: %+v", name, j.Events)
		}
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	for name, c := range map[string]struct {
		change *store.Change
		fate   string
		state  string
	}{
		"nobody knows":     {},
		"deleted by hand":  {change: &store.Change{ID: "c1", Verb: "delete", What: "jid:" + jid, Done: 1, Began: now}, state: "deleted"},
		"not deleted":      {change: &store.Change{ID: "c1", Verb: "delete", What: "jid:" + jid, Done: 0, Began: now}},
		"another job":      {change: &store.Change{ID: "c1", Verb: "delete", What: "jid:0199aa00bb00cc0000000002", Done: 1, Began: now}},
		"seen by a stop":   {fate: "rescued", state: "gone"},
		"done in the stop": {fate: "finished", state: "done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := memstore.New(memstore.Options{})
			defer st.Close()
			if c.change != nil {
				if err := st.Record(t.Context(), *c.change); err != nil {
					t.Fatal(err)
				}
			}
			if c.fate != "" {
				id := store.NewIdentity()
				if _, err := st.Beat(t.Context(), store.Presence{ID: id}, time.Minute); err != nil {
					t.Fatal(err)
				}
				report := store.StopReport{ID: id, Ended: now, Jobs: []store.Fate{{JID: jid, Kind: "K", Queue: "q", Fate: c.fate}}}
				if err := st.Leave(t.Context(), store.Call{By: id, Seq: 1}, store.Farewell{ID: id, Report: report}); err != nil {
					t.Fatal(err)
				}
			}
			j, err := Gone(t.Context(), st, jid)
			if err != nil {
				t.Fatal(err)
			}
			if state := ""; j == nil && c.state != state || j != nil && j.State != c.state {
				t.Errorf("got %+v, want %q", j, c.state)
			}
		})
	}
}

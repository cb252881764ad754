package query

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// spy notes what a store is asked for.
type spy struct {
	store.Store
	asked []string
}

func (s *spy) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	s.asked = append(s.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", StateOf(q.Place), q.Queue, q.JID)))
	return s.Store.Jobs(ctx, q)
}

// filled is a store with three jobs in each of two queues and one scheduled, which
// jobs called a to g are.
func filled(t *testing.T) *spy {
	t.Helper()
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	item := func(jid, queue string) store.Item {
		return store.Item{JID: jid, Queue: queue, Payload: fmt.Appendf(nil, `{"class":"%sJob","args":[],"jid":%q,"queue":%q}`, strings.ToUpper(jid), jid, queue)}
	}
	for i, jid := range []string{"a", "b", "c", "d", "e", "f"} {
		queue := "high"
		if i >= 3 {
			queue = "low"
		}
		if _, err := st.Push(t.Context(), store.Call{}, item(jid, queue)); err != nil {
			t.Fatal(err)
		}
	}
	later := item("g", "low")
	later.Delay = time.Hour
	if _, err := st.Schedule(t.Context(), store.Call{}, later); err != nil {
		t.Fatal(err)
	}
	return &spy{Store: st}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		found string
		asked []string
	}{
		"":                               {"a b c d e f g", []string{"running", "ready high", "ready low", "scheduled", "retry", "dead"}},
		"queue:low":                      {"d e f g", []string{"running low", "ready low", "scheduled low", "retry low", "dead low"}},
		"-queue:low":                     {"a b c", []string{"running", "ready high", "scheduled", "retry", "dead"}},
		"queue:l*":                       {"d e f g", []string{"running", "ready low", "scheduled", "retry", "dead"}},
		"queue:none":                     {"", []string{"running none", "ready none", "scheduled none", "retry none", "dead none"}},
		"state:ready queue:low":          {"d e f", []string{"ready low"}},
		"state:scheduled":                {"g", []string{"scheduled"}},
		"state:dead":                     {"", []string{"dead"}},
		"state:ready,retry -state:ready": {"", []string{"retry"}},
		"jid:b state:ready":              {"b", []string{"ready high b", "ready low b"}},
		"jid:0001 state:scheduled":       {"", []string{"scheduled"}},
		`jid:"" state:scheduled`:         {"", []string{"scheduled"}},
		"kind:BJob,GJob":                 {"b g", []string{"running", "ready high", "ready low", "scheduled", "retry", "dead"}},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			st := filled(t)
			var found []string
			for e, err := range parse(t, text).Find(t.Context(), st, Search{}) {
				if err != nil {
					t.Fatal(err)
				}
				jid, _ := wire.JIDOf(e.Payload)
				found = append(found, jid)
			}
			if got := strings.Join(found, " "); got != want.found {
				t.Errorf("found %q want %q", got, want.found)
			}
			if diff := cmp.Diff(want.asked, st.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"": 7, "state:ready": 6, "queue:low": 4, "state:scheduled queue:low": 1, "-state:ready": 1, "state:dead": 0,
		"queue:l*": -1, "queue:low,high": -1, "-queue:low": -1, "queue:low -queue:high": -1, "kind:AJob": -1, "x": -1,
	} {
		n, ok, err := parse(t, text).Count(t.Context(), filled(t))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q: %d, want %d", text, n, want)
		}
	}
}

func TestFindTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	var last [2]int64
	for _, err := range parse(t, "kind:None").Find(t.Context(), filled(t), Search{Looked: func(n, of int64) { last = [2]int64{n, of} }}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if last != [2]int64{7, 7} {
		t.Errorf("looked at %d of %d", last[0], last[1])
	}
}

func TestFindEnds(t *testing.T) {
	t.Parallel()
	st := filled(t)
	for range (&Query{}).Find(t.Context(), st, Search{}) {
		break
	}
	if diff := cmp.Diff([]string{"running", "ready high"}, st.asked); diff != "" {
		t.Error(diff)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	var errs []error
	for _, err := range (&Query{}).Find(ended, st, Search{}) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil {
		t.Errorf("after the end of its context: %v", errs)
	}
}

// A version: is that of the process that cut the job off, or of the one that was
// lost, which reports and presences know.
func TestFindKnowsReleases(t *testing.T) {
	t.Parallel()
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	ctx := t.Context()
	push := func(jid, what, by, note string) {
		payload := fmt.Appendf(nil, `{"class":"A","args":[],"jid":%q,"ebb":{"n":1,"log":[{"t":1.5,"w":%q,"by":%q,"m":%q},{"t":2.5,"w":"resumed"}]}}`, jid, what, by, note)
		if _, err := st.Push(ctx, store.Call{}, store.Item{JID: jid, Queue: "q", Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	live := store.Presence{ID: "new:1:aa", Release: "v143", State: "running"}
	if _, err := st.Beat(ctx, live, time.Minute); err != nil {
		t.Fatal(err)
	}
	gone := store.Presence{ID: "old:1:aa", Release: "v142", State: "running"}
	if _, err := st.Beat(ctx, gone, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := st.Leave(ctx, store.Call{By: gone.ID, Seq: 1}, store.Farewell{ID: gone.ID, Report: store.StopReport{ID: gone.ID, Release: "v142"}}); err != nil {
		t.Fatal(err)
	}
	push("cut", "interrupted", "old:1:aa", "deploy")
	push("rescued", "rescued", "new:1:aa", "old:1:aa")
	push("recut", "interrupted", "new:1:aa", "")
	push("unknown", "interrupted", "else:1:aa", "")
	for text, want := range map[string][]string{
		"version:v142":      {"cut", "rescued"},
		"version:v143":      {"recut"},
		"version:v14*":      {"cut", "rescued", "recut"},
		"-version:v142":     {"recut", "unknown"},
		"version:v1":        nil,
		"version:v142,v143": {"cut", "rescued", "recut"},
	} {
		var found []string
		for e, err := range parse(t, text).Find(ctx, st, Search{}) {
			if err != nil {
				t.Fatal(err)
			}
			jid, _ := wire.JIDOf(e.Payload)
			found = append(found, jid)
		}
		if !slices.Equal(found, want) {
			t.Errorf("%s finds %v, want %v", text, found, want)
		}
	}
}

package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

const thisBoot, otherBoot = "mfrggzdfmztwq2lknnwg", "aaaaaaaaaaaaaaaaaaaa"

// holding adds a process that holds a job of its own, named as it is.
func holding(t *testing.T, s store.Store, id store.Identity) {
	t.Helper()
	ctx := t.Context()
	queue := "q" + string(id[5])
	beat(ctx, t, s, store.Presence{ID: id, Host: id.Host(), PID: id.PID(), State: "running"})
	payload := `{"class":"K","args":[],"jid":"` + queue + `","queue":"` + queue + `"}`
	if _, err := s.Push(ctx, store.Call{}, store.Item{JID: queue, Queue: queue, Kind: "K", Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	call := store.Call{By: id, Lane: store.LaneFetch, Seq: 1}
	if jobs, _, err := s.Fetch(ctx, call, store.Plan{Queues: []store.Share{{Queue: queue}}}, 1, 0); err != nil || len(jobs) != 1 {
		t.Fatalf("fetched %d jobs, %v", len(jobs), err)
	}
}

// TestRescueOfABoot: all of one boot, and nobody else.
func TestRescueOfABoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		holding(t, s, "host-1:7:0123456789ab-"+thisBoot)
		holding(t, s, "host-2:7:0123456789ab-"+otherBoot)
		holding(t, s, "host-3:7:0123456789ab")
		holding(t, s, "host-4:8:0123456789ab-"+thisBoot)
		r := rescuingOn(s)
		if err := r.bootEnded(t.Context(), thisBoot, nil); err != nil {
			t.Error(err)
		}
		var got []string
		for _, row := range r.rows {
			got = append(got, row.JID+" "+row.Cause+" "+row.Fate)
		}
		if d := cmp.Diff([]string{"q1 witnessed rescued", "q4 witnessed rescued"}, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		reports := 0
		for report, err := range s.Stops(t.Context()) {
			if err != nil || report.ID.Boot() != thisBoot || len(report.Jobs) != 1 {
				t.Errorf("%+v, %v", report, err)
			}
			reports++
		}
		if reports != 2 {
			t.Errorf("%d stop reports, want 2", reports)
		}
		if err := rescuingOn(s).bootEnded(t.Context(), thisBoot, nil); exitOf(err) != exitNothing {
			t.Errorf("a second time: %v", err)
		}
	})
}

// TestRescueOfABootSparesWhoLives: the others get their jobs back nonetheless.
func TestRescueOfABootSparesWhoLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		holding(t, s, "host-1:7:0123456789ab-"+thisBoot)
		time.Sleep(2 * time.Minute)
		holding(t, s, "host-2:8:0123456789ab-"+thisBoot)
		r := rescuingOn(locking{s})
		err := r.bootEnded(t.Context(), thisBoot, nil)
		if exitOf(err) != exitRefused || !strings.HasSuffix(err.Error(), "run twice: host-2:8") {
			t.Errorf("got %v", err)
		}
		if len(r.rows) != 1 || r.rows[0].JID != "q1" {
			t.Errorf("given back: %+v", r.rows)
		}
	})
}

// TestRescueOfABootAndWhatItDiedOf: a death is laid to the job of the process that
// died, and to none where that might have been another's.
func TestRescueOfABootAndWhatItDiedOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, died string
		holders    int
		want       string // the cause in the job's history
	}{
		{"one that held, of memory", "oom", 1, `"oom"`},
		{"two that held, of memory", "oom", 2, `"crash"`},
		{"two that held, of TERM", "SIGTERM", 2, `"deploy"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New(memstore.Options{})
				for i := range test.holders {
					holding(t, s, store.Identity("host-"+string(rune('1'+i))+":7:0123456789ab-"+thisBoot))
				}
				beat(t.Context(), t, s, store.Presence{ID: "host-9:7:0123456789ab-" + thisBoot, State: "running"}) // holds nothing
				died, err := death(thisBoot, test.died)
				if err != nil {
					t.Fatal(err)
				}
				if err := rescuingOn(s).bootEnded(t.Context(), thisBoot, died); err != nil {
					t.Fatal(err)
				}
				for entry, err := range s.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q1"}) {
					if err != nil || !strings.Contains(string(entry.Payload), test.want) {
						t.Errorf("%s, %v; want %s", entry.Payload, err, test.want)
					}
				}
			})
		})
	}
}

package fleet

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

func TestNewStop(t *testing.T) {
	t.Parallel()
	began := time.Unix(1767225600, 0)
	fate := func(jid, fate string) store.Fate { return store.Fate{JID: jid, Fate: fate} }
	row := NewStop(store.StopReport{
		ID: "host-1:7:0123456789ab", Reason: "SIGTERM", Began: began, Ended: began.Add(3 * time.Second), Grace: time.Minute,
		Phases: []store.Phase{{Name: "draining", InFlight: 8}},
		Jobs: []store.Fate{
			fate("a", "finished"), fate("b", "finished"), fate("c", "checkpointed"), fate("d", "handed back"),
			fate("e", "deaf"), fate("f", "lost lease"), fate("e", "rescued"), // as its rescuer wrote later
		},
	})
	want := Fates{Finished: 2, Checkpointed: 1, HandedBack: 1, Rescued: 1, Other: 1}
	if diff := cmp.Diff(want, row.Fates); diff != "" {
		t.Error(diff)
	}
	if row.Touched != 6 || row.Lost != 2 || row.Took != 3 || row.Grace != 60 {
		t.Errorf("got %+v", row)
	}

	gone := NewStop(store.StopReport{Reason: "vanished", Ended: began, Grace: time.Minute, Jobs: []store.Fate{fate("a", "rescued")}})
	if gone.Took != 0 || gone.Grace != 0 || gone.Lost != 0 || gone.Fates.Rescued != 1 {
		t.Errorf("got %+v", gone)
	}
}

package redisstore

import (
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// TestACopyOfAFetchTakesNothing sends one call of the script twice, as a client does
// that has lost its connection before the answer.
func TestACopyOfAFetchTakesNothing(t *testing.T) {
	t.Parallel()
	s, beat := beater(t, redistest.Start(t))
	beat()
	items := make([]store.Item, 3)
	for i := range items {
		items[i] = store.Item{JID: string(rune('a' + i)), Queue: "q", Kind: "K", Payload: []byte(`{"jid":"` + string(rune('a'+i)) + `"}`)}
	}
	if _, err := s.Push(t.Context(), store.Call{}, items...); err != nil {
		t.Fatal(err)
	}
	call := store.Call{By: "p:1:x", Lane: store.LaneFetch, Seq: 1}
	var got []store.Token
	for range 2 {
		l := &look{call: call, n: 1, prefix: "f", turn: 1}
		jobs, err := s.takeFrom(t.Context(), l, []store.Share{{Queue: "q", Weight: 1}}, 1)
		if err != nil || len(jobs) != 1 {
			t.Fatalf("%d jobs, %v", len(jobs), err)
		}
		got = append(got, jobs[0].Token)
	}
	left := 0
	for _, err := range s.Jobs(t.Context(), store.Query{Place: store.Ready, Queue: "q"}) {
		if err != nil {
			t.Fatal(err)
		}
		left++
	}
	if got[0] != got[1] || left != 2 {
		t.Errorf("took %q, and %d are left", got, left)
	}
}

package query_test

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// TestSeenAs asks about a job as somebody who is shown another payload.
func TestSeenAs(t *testing.T) {
	t.Parallel()
	e := store.Entry{Place: store.Dead, Queue: "q", Payload: []byte(`{"class":"K","args":["secret"],"jid":"0199aa00bb00cc0000000001","queue":"q"}`)}
	shown := func(e store.Entry) store.Entry {
		e.Payload = []byte(`{"class":"K","args":["shown"],"jid":"0199aa00bb00cc0000000001","queue":"q"}`)
		return e
	}
	for text, want := range map[string]struct{ as, all bool }{
		"secret": {false, true}, "-secret": {true, false}, "args.0=secret": {false, true}, "-args.0=secret kind:K": {true, false},
		"kind:K queue:q": {true, true}, "kind:X shown": {false, false}, "": {true, true}, "-shown": {false, true},
	} {
		q, err := query.Parse(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		as := q.SeenAs(shown)
		for _, both := range []*query.Query{as, as.And(query.InPlaces(store.Dead)), query.InPlaces(store.Dead).And(as)} {
			if got := both.Match(e); got != want.as {
				t.Errorf("%q: %v for who is shown another payload, want %v", both, got, want.as)
			}
		}
		if got := q.Match(e); got != want.all {
			t.Errorf("%q: %v, want %v", text, got, want.all)
		}
	}
}

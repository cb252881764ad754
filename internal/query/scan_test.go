package query_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// TestScanGoesOn stops a search after every few jobs, and goes on from where it was.
func TestScanGoesOn(t *testing.T) {
	t.Parallel()
	st := memstore.New(memstore.Options{})
	defer st.Close()
	for i := range 60 {
		id := fmt.Sprintf("%024x", i)
		item := store.Item{JID: id, Queue: []string{"a", "b.c"}[i%2], Kind: "K", At: time.Unix(4_000_000_000+int64(i/7), 0),
			Payload: fmt.Appendf(nil, `{"class":"K","args":[%d],"jid":%q,"queue":%q}`, i%3, id, []string{"a", "b.c"}[i%2])}
		put := st.Push
		if i%4 < 2 {
			put = st.Schedule
		}
		if _, err := put(t.Context(), store.Call{}, item); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "args.0=1", "queue:b.c", "state:scheduled args.0=2", "jid:000000000000000000000007,000000000000000000000009"} {
		q, err := query.Parse(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, newest := range []bool{false, true} {
			search := query.Search{Newest: newest}
			want := jids(t, q.Find(t.Context(), st, search), 1000)
			var got []string
			var p query.Position
			for {
				some := jids(t, q.Scan(t.Context(), st, search, &p), 4)
				if len(some) == 0 {
					break
				}
				got = append(got, some...)
				if p, err = query.ParsePosition(p.String()); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("%q, newest %v: got %v, want %v", text, newest, got, want)
			}
		}
	}
	q := &query.Query{}
	all := jids(t, q.Find(t.Context(), st, query.Search{}), 1000)
	for _, n := range []int64{0, 1, 17, 30, 45, 59} {
		p, err := q.Seek(t.Context(), st, n)
		if err != nil {
			t.Fatal(err)
		}
		if got := jids(t, q.Scan(t.Context(), st, query.Search{}, &p), 1); got[0] != all[n] || p.Seen != n+1 {
			t.Errorf("behind %d comes %v, not %s; seen %d", n, got, all[n], p.Seen)
		}
	}
}

func jids(t *testing.T, entries func(func(store.Entry, error) bool), most int) (list []string) {
	t.Helper()
	for e, err := range entries {
		if err != nil {
			t.Fatal(err)
		}
		id, _ := wire.JIDOf(e.Payload)
		if list = append(list, id); len(list) == most {
			break
		}
	}
	return list
}

func TestScanKeepsItsPlaceWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	st := memstore.New(memstore.Options{})
	defer st.Close()
	for i := range 250 {
		item := store.Item{JID: fmt.Sprint(i), Queue: "q", Kind: "K", Payload: fmt.Appendf(nil, `{"class":"K","args":[],"jid":"%d","queue":"q"}`, i)}
		if _, err := st.Push(t.Context(), store.Call{}, item); err != nil {
			t.Fatal(err)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var p query.Position
	for e, err := range (&query.Query{}).Scan(ctx, st, query.Search{}, &p) {
		if err != nil {
			break
		}
		if id, _ := wire.JIDOf(e.Payload); id == "30" {
			end()
		}
	}
	seen := p.Seen
	if got := jids(t, (&query.Query{}).Scan(t.Context(), st, query.Search{}, &p), 1); got[0] != fmt.Sprint(seen) {
		t.Errorf("after %d comes %v", seen, got)
	}
}

func TestParsePositionRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", "retry.1.2", "retry.-1.2.3..", "nowhere.1.2.3..", "retry.a.2.3..q"} {
		if _, err := query.ParsePosition(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

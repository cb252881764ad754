package web

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

// slowStore takes longer over the first job of a walk than a page may take.
type slowStore struct{ store.Store }

func (s slowStore) Jobs(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		time.Sleep(2 * searchFor)
		for e, err := range s.Store.Jobs(ctx, q) {
			if ctx.Err() != nil {
				yield(store.Entry{}, ctx.Err())
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// However slow a store is, each page of a search comes some way, and says that there
// is more to look at.
func TestASlowSearchComesSomeWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		for i := range 3 {
			var items []store.Item
			for j := range store.MaxBatch {
				items = append(items, store.Item{JID: fmt.Sprintf("%d-%d", i, j), Queue: "q", Kind: "A", Payload: []byte(`{"class":"A","args":[],"queue":"q"}`)})
			}
			if _, err := st.Push(t.Context(), store.Call{}, items...); err != nil {
				t.Fatal(err)
			}
		}
		ui, err := New(ebb.NewClient(slowStore{st}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer ui.Close()
		body := ask(ui, "GET", "/jobs?state=ready&q=kind%3ANone").Body.String()
		if !strings.Contains(body, "Searched 1,000 of 3,000") || !strings.Contains(body, "after=ready.") {
			t.Errorf("a search that ran out of time says\n%s", body[strings.Index(body, "<main"):])
		}
	})
}

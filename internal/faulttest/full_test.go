package faulttest

import (
	"errors"
	"strings"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// refuses checks that new jobs are refused, and that somebody can do something
// about it.
func (st *stage) refuses(hint string) {
	st.Helper()
	for what, opts := range map[string][]ebb.Option{"enqueue": nil, "schedule": {ebb.In(soon)}} {
		ref, err := act.Enqueue(st.Context(), st.client, part{}, opts...)
		if !errors.Is(err, ebb.ErrFull) || errors.Is(err, ebb.ErrUncertain) || ref.JID != "" || !strings.Contains(store.Hint(err), hint) {
			st.Errorf("%s into a full store: %+v, %v\nhint: %s", what, ref, err, store.Hint(err))
		}
	}
}

// answered checks that a full store was not taken for one that is away.
func (st *stage) answered(workers ...*worker) {
	st.Helper()
	for _, w := range workers {
		if n := w.log.count(saysAway); n != 0 {
			st.Errorf("said %d times that the store is away", n)
		}
	}
}

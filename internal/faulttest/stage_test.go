package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ebbjobs/ebb"
)

// cue is what a handler waits for before it returns.
type cue string

const (
	none   cue = ""
	during cue = "while things are wrong"
	after  cue = "when they are right again"
)

type part struct {
	Until cue
	Fails bool   // the first time
	Load  string `ebb:"optional"`
}

var act = ebb.Define[part]("Act", ebb.Backoff(func(int, error) time.Duration { return 20 * time.Millisecond }))

// stage is where jobs run until the test gives them their cue.
type stage struct {
	*site
	tally
	cues map[cue]chan struct{}

	mu   sync.Mutex
	want map[string]int // runs, by jid
}

func (s *site) stage() *stage {
	st := &stage{site: s, want: map[string]int{}, cues: map[cue]chan struct{}{}}
	for _, c := range []cue{none, during, after} {
		st.cues[c] = make(chan struct{})
	}
	close(st.cues[none])
	return st
}

func (st *stage) give(c cue) { close(st.cues[c]) }

func (st *stage) handle(p *ebb.Process) {
	act.Handle(p, func(ctx context.Context, a part) error {
		run := st.note(ebb.Info(ctx).JID)
		select {
		case <-st.cues[a.Until]:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if a.Fails && run == 1 {
			return errors.New("the first time")
		}
		return nil
	})
}

// enqueue adds n jobs that must be done in the end.
func (st *stage) enqueue(n int, a part) (refs []ebb.Ref) {
	st.Helper()
	for range n {
		ref, err := act.Enqueue(st.Context(), st.client, a)
		st.must(err)
		st.accepted(ref, a)
		refs = append(refs, ref)
	}
	return refs
}

func (st *stage) accepted(ref ebb.Ref, a part) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.want[ref.JID] = 1
	if a.Fails {
		st.want[ref.JID] = 2
	}
}

// onStage waits until n runs have begun.
func (st *stage) onStage(n int) {
	st.Helper()
	st.await(fmt.Sprint(n, " runs"), func() bool { return st.all() >= n })
}

// settle waits until all is done, and checks that nothing ran more or less often
// than it had to.
func (st *stage) settle() {
	st.Helper()
	st.rest()
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, odd := range st.odd(st.want) {
		st.Error(odd)
	}
}

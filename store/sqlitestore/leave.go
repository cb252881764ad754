package sqlitestore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// deafLease is how long the deaf jobs of a process that left are still its own.
const deafLease = time.Second / 2

var (
	markGone = statement("UPDATE ebb_boot SET gone = ? WHERE id = ?")
	markEnds = statement("UPDATE ebb_process SET ends = ?, beats = beats + 1 WHERE boot = ?")
)

// Leave implements [store.Keeper].
func (s *Store) Leave(ctx context.Context, c store.Call, f store.Farewell) error {
	if err := s.leave(ctx, c, &f); err != nil {
		return fmt.Errorf("sqlitestore: leave: %w", err)
	}
	return nil
}

func (s *Store) leave(ctx context.Context, c store.Call, f *store.Farewell) error {
	if err := checkSize(max(len(f.Back), len(f.Deaf))); err != nil {
		return err
	}
	var missed []store.Token
	var refused error
	forgotten := false
	err := s.writer.do(ctx, &call{class: frees, jobs: max(len(f.Back), 1), apply: func(t *tx) (err error) {
		refused, forgotten = nil, false
		boot, left, err := t.bootOf(f.ID)
		if err != nil {
			return err
		}
		m, kept, err := t.remember(boot, c)
		missed = splitTokens(kept)
		switch {
		case err != nil || m == again:
			return err
		case m == stale:
			refused = store.ErrStale
			return nil
		case left:
			refused = store.ErrLeft
			return nil
		}
		missed, forgotten, err = t.leave(boot, f)
		if err != nil {
			return err
		}
		if err := t.heardLast(f); err != nil {
			return err
		}
		return t.answer(boot, c, joinTokens(missed))
	}})
	if err == nil {
		err = refused
	}
	switch {
	case err != nil:
	case forgotten:
		s.drop(f.ID)
	default:
		s.leaveToGuards(f.ID)
	}
	if err == nil {
		err = store.NotHeld(missed)
	}
	return err
}

func (t *tx) leave(boot int64, f *store.Farewell) (missed []store.Token, forgotten bool, err error) {
	if _, err := t.exec(markGone, t.now, boot); err != nil {
		return nil, false, err
	}
	grips, err := t.gripsOf(boot)
	if err != nil {
		return nil, false, err
	}
	named := make(map[store.Token]bool, len(f.Back)+len(f.Deaf))
	for _, l := range f.Back {
		named[l.Token] = true
	}
	for _, tok := range f.Deaf {
		named[tok] = true
	}
	for _, g := range slices.Backward(grips) {
		if !named[g.token()] {
			if _, err := t.requeue(boot, g, &store.Later{}); err != nil {
				return nil, false, err
			}
		}
	}
	for _, l := range slices.Backward(f.Back) {
		held := false
		if g, ok := parseGrip(l.Token); ok {
			if held, err = t.requeue(boot, g, &l); err != nil {
				return nil, false, err
			}
		}
		if !held {
			missed = append(missed, l.Token)
		}
	}
	if forgotten, err = t.forget(boot); err != nil {
		return nil, false, err
	}
	if !forgotten {
		if _, err := t.exec(markEnds, t.now+deafLease.Microseconds(), boot); err != nil {
			return nil, false, err
		}
	}
	return missed, forgotten, t.report(f.ID, &f.Report)
}

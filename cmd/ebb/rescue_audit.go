package main

import (
	"context"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// unknown are holders of jobs that nobody knows, and how many jobs they hold.
func (r *rescuing) unknown(ctx context.Context) (ids []store.Identity, jobs int64, err error) {
	if ids, err = r.s.Audit(ctx, "", 0); err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		for _, err := range r.s.Jobs(ctx, store.Query{Place: store.Keeping, Key: id}) {
			if err != nil {
				return nil, 0, err
			}
			jobs++
		}
	}
	return ids, jobs, nil
}

// expose has holders that nobody knows registered, and gives those that live the time
// of a lease to beat. The others are lost then.
func (r *rescuing) expose(ctx context.Context) error {
	found, err := r.s.Audit(ctx, "", settle)
	if err != nil || len(found) == 0 {
		return err
	}
	wait := settle + time.Second
	bar := r.term.Progress("waiting for whom nobody knows: "+prose.Plural(len(found), "process"), int64(wait/time.Second))
	defer bar.End()
	for began := time.Now(); time.Since(began) < wait; {
		lost, err := r.s.Orphans(ctx, mostLost)
		if err != nil {
			return err
		}
		known := func(id store.Identity) bool {
			return slices.ContainsFunc(lost, func(l store.Lost) bool { return l.ID == id })
		}
		if !slices.ContainsFunc(found, func(id store.Identity) bool { return !known(id) }) {
			return nil
		}
		bar.Set(int64(time.Since(began)/time.Second), "")
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

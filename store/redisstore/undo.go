package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"

	"github.com/ebbjobs/ebb/store"
)

// What a change by hand moved is kept in a list, in the script that moves it, for as
// long as it may be taken back. On one server there is one list for a change; in a
// cluster each slot that jobs were moved to has its own. undo.lua says what is in it.

// stepWidth is of how many elements of the list one step consists. The first is the
// queue that the job came from, the last the time.
const stepWidth = 12

// lasts is for how many ms what is done under u may be taken back; 0: not at all.
func lasts(u store.Undoable) int64 {
	if u.Change == "" || u.For <= 0 {
		return 0
	}
	return max(1, u.For.Milliseconds())
}

// renew lets the lists of u that edges do not write to last as long as those they do.
func (s *Store) renew(ctx context.Context, u store.Undoable, edges []*edge) error {
	if !s.cluster || lasts(u) == 0 {
		return nil
	}
	queues, err := s.known(ctx)
	if err != nil {
		return err
	}
	var requests []*request
	for _, q := range queues {
		if !slices.ContainsFunc(edges, func(e *edge) bool { return e.queues[0] == q }) {
			requests = append(requests, command("PEXPIRE", s.undoList(q, u.Change), strconv.FormatInt(lasts(u), 10)))
		}
	}
	_, err = s.do(ctx, requests...)
	return err
}

// Undo takes back what Move and Delete did under one change, the last first.
func (s *Store) Undo(ctx context.Context, change string, most int) (store.Undone, error) {
	if most <= 0 || most > store.MaxBatch {
		most = store.MaxBatch
	}
	done, err := s.undo(ctx, change, most)
	return done, wrap("undo", err)
}

func (s *Store) undo(ctx context.Context, change string, most int) (done store.Undone, err error) {
	slots := []string{""}
	if s.cluster {
		if slots, err = s.known(ctx); err != nil {
			return done, err
		}
	}
	var queues []string // that steps have named, on one server
	for {
		last, err := s.lastStep(ctx, change, slots)
		if done.More = last.there; err != nil || !last.there || done.Back+done.Passed == most {
			return done, err
		}
		if s.cluster {
			queues = []string{last.slot}
		} else if queues == nil {
			queues = []string{last.queue}
		}
		e := &edge{layout: s.layout, queues: queues, abroad: s.cluster}
		r := e.request(s, undoScript, "", store.Call{}, nil,
			[]string{rand.Text(), strconv.Itoa(min(handful, most-done.Back-done.Passed)), strconv.FormatInt(last.since, 10)})
		r.keys = append(r.keys, s.undoList(last.slot, change))
		reply, err := s.one(ctx, r)
		if err != nil {
			return done, err
		}
		answer, err := reply.ToArray()
		if err != nil || len(answer) != 3 {
			return done, errors.New("the script gave another answer than it does")
		}
		back, _ := answer[0].AsInt64()
		passed, _ := answer[1].AsInt64()
		done.Back, done.Passed = done.Back+int(back), done.Passed+int(passed)
		queues = append(queues, texts(answer[2])...)
		if err := s.deliver(ctx, []*edge{e}); err != nil {
			return done, err
		}
	}
}

// step is the last that a change did.
type step struct {
	there bool
	slot  string // whose list it is in
	queue string // that the job came from
	since int64  // of the steps there, those from then on come before any of another slot
}

func (s *Store) lastStep(ctx context.Context, change string, slots []string) (last step, err error) {
	requests := make([]*request, 0, 2*len(slots))
	for _, slot := range slots {
		list := s.undoList(slot, change)
		requests = append(requests, command("LINDEX", list, "-1"), command("LINDEX", list, strconv.Itoa(-stepWidth)))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return last, err
	}
	var latest int64
	for i, slot := range slots {
		at, err := replies[2*i].AsInt64()
		switch {
		case err != nil: // there is no list
		case !last.there || at > latest:
			queue, _ := replies[2*i+1].ToString()
			last, latest = step{there: true, slot: slot, queue: queue, since: latest}, at
		default:
			last.since = max(last.since, at)
		}
	}
	return last, nil
}

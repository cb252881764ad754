package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

var _ store.RubyWatcher = (*Store)(nil)

var (
	mirrorScript  = load("mirror")
	salvageScript = load("depart", "salvage")
)

var errNoRuby = errors.New("Ruby's Sidekiq knows nothing of the cluster layout")

func mirrorKey(id string) string { return "ebb:mirror:" + id }

const mirrorsKey = "ebb:mirrors"

// WatchRuby looks at Ruby's processes.
func (s *Store) WatchRuby(ctx context.Context, w store.RubyWatch) ([]store.RubyProcess, error) {
	found, err := s.watchRuby(ctx, w)
	return found, wrap("watch ruby", err)
}

func (s *Store) watchRuby(ctx context.Context, w store.RubyWatch) ([]store.RubyProcess, error) {
	if s.cluster {
		return nil, errNoRuby
	}
	ids, err := s.rubyIDs(ctx, w)
	if err != nil {
		return nil, err
	}
	requests := make([]*request, len(ids))
	for i, id := range ids {
		requests[i] = &request{
			script: mirrorScript,
			keys: []string{mirrorKey(id), mirrorsKey, "processes", "super_processes", s.holders(""),
				id, id + ":work", id + ":workers", s.last("", store.Identity(id))},
			optional: true, // a key that is something else shall not hide the other processes
			args:     []string{id, millis(w.Gap), millis(w.Silence), millis(w.Stale), millis(w.Keep), flag(slices.Contains(w.Dead, store.Identity(id)))},
		}
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	var found []store.RubyProcess
	var refused []error
	for i, id := range ids {
		if err := requests[i].refused; err != nil {
			refused = append(refused, fmt.Errorf("look at %s: %w", id, err))
		}
		if p, ok := readMirror(store.Identity(id), texts(replies[i])); ok {
			if slices.Contains(w.Dead, p.Lost.ID) {
				p.Lost.Cause = store.Witnessed
			}
			found = append(found, p)
		}
	}
	return found, errors.Join(refused...)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// rubyIDs are the processes to look at: those that Ruby lists, and those that are
// remembered, since Ruby forgets the dead. Of ebb's own only such as are remembered by
// mistake are among them.
func (s *Store) rubyIDs(ctx context.Context, w store.RubyWatch) ([]string, error) {
	replies, err := s.do(ctx, command("SMEMBERS", "processes"), command("ZRANGE", s.holders(""), "0", "-1"), command("ZRANGE", mirrorsKey, "0", "-1"))
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for _, id := range texts(replies[1]) {
		ours[id] = true
	}
	ids := slices.DeleteFunc(texts(replies[0]), func(id string) bool { return w.Known || ours[id] })
	ids = append(ids, texts(replies[2])...)
	for _, id := range w.Dead {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// readMirror reads what mirror.lua gives.
func readMirror(id store.Identity, reply []string) (p store.RubyProcess, ok bool) {
	const fixed = 7
	if len(reply) < 2 {
		return p, false
	}
	p.State = store.RubyState(reply[0])
	p.Lost = store.Lost{ID: id, Cause: store.Lapsed, Now: milliTime(reply[1]), Last: store.Presence{ID: id, Host: id.Host(), PID: id.PID(), State: "running"}}
	if len(reply) < fixed {
		return p, true
	}
	p.New, p.Back, p.Told = reply[2] == "1", reply[2] == "2", reply[2] == "3"
	p.Busy, _ = strconv.Atoi(reply[3])
	p.Lost.Beat = milliTime(reply[4])
	if reply[5] == "true" {
		p.Lost.Last.State = "quiet"
	}
	var info rubyInfo
	if json.Unmarshal([]byte(reply[6]), &info) == nil {
		p.Lost.Last.Tag, p.Lost.Last.Concurrency = info.Tag, info.Concurrency
	}
	for run := range slices.Chunk(reply[fixed:], 2) {
		slot, text := run[0], run[1]
		token := runToken(slot, text)
		if r, ok := readWork(slot, text); ok && r.Queue != "" && len(r.Payload) > 0 {
			p.Lost.Jobs = append(p.Lost.Jobs, store.Held{Token: token, Queue: r.Queue, Payload: r.Payload})
		} else {
			p.Unreadable = append(p.Unreadable, token)
		}
	}
	slices.SortFunc(p.Lost.Jobs, func(a, b store.Held) int { return cmp.Compare(a.Token, b.Token) })
	return p, true
}

func milliTime(text string) time.Time {
	n, _ := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n).UTC()
}

// PutBack moves jobs that a process of Ruby's was last seen running.
func (s *Store) PutBack(ctx context.Context, g store.Salvage, settled ...store.Token) (moved int, last bool, err error) {
	moved, last, err = s.putBack(ctx, g, settled)
	return moved, last, wrap("put back", err)
}

func (s *Store) putBack(ctx context.Context, g store.Salvage, settled []store.Token) (moved int, last bool, err error) {
	if s.cluster {
		return 0, false, errNoRuby
	}
	report, err := reportText(g.Report)
	if err != nil {
		return 0, false, err
	}
	r := &request{
		script: salvageScript,
		keys:   append([]string{mirrorKey(string(g.ID)), mirrorsKey, "queues", s.set(store.Scheduled, ""), s.set(store.Dead, "")}, s.departure(g.ID)...),
		args:   []string{string(g.ID), flag(g.Cause == store.Witnessed), report, strconv.Itoa(len(settled))},
	}
	for _, t := range settled {
		slot, text := splitRun(t)
		r.args = append(r.args, slot, text)
	}
	numbers := map[string]int{}
	for _, j := range g.Jobs {
		slot, text := splitRun(j.Token)
		w, _ := readWork(slot, text)
		if numbers[w.Queue] == 0 {
			numbers[w.Queue] = len(numbers) + 1
			r.keys = append(r.keys, s.line(w.Queue))
		}
		r.args = append(r.args, slot, text, strconv.Itoa(numbers[w.Queue]), w.Queue, rueidis.BinaryString(s.onward(j, w.Queue)),
			strconv.Itoa(int(j.To)), strconv.FormatInt(j.Delay.Microseconds(), 10))
	}
	reply, err := s.one(ctx, r)
	if err != nil {
		return 0, false, err
	}
	answer, err := reply.AsIntSlice()
	if err != nil {
		return 0, false, err
	}
	return int(answer[0]), answer[1] == 1, nil
}

// onward is the payload with which a job goes to where it is put back. In a set it must
// tell its queue itself.
func (s *Store) onward(j store.Rescued, queue string) []byte {
	payload := j.Payload
	if payload == nil {
		payload = j.Was
	}
	switch {
	case j.To == store.Ready:
		return wire.Stamp(payload, "", s.now())
	case s.stray(payload, queue) == "0":
		return payload
	}
	job, err := wire.Parse(payload)
	if err != nil {
		return payload
	}
	var p wire.Patch
	p.SetString("queue", queue)
	return job.With(&p)
}

// runToken names a run: the slot, and what the process says that runs there.
func runToken(slot, text string) store.Token { return store.Token(slot + "\n" + text) }

func splitRun(t store.Token) (slot, text string) {
	slot, text, _ = strings.Cut(string(t), "\n")
	return slot, text
}

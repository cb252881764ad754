package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

const (
	// maxTold bounds how many ended jobs go with one script.
	maxTold = 500
	// maxEndedBytes bounds what is kept of one. It leaves out its log where that makes it
	// longer, and is not kept where it is so without.
	maxEndedBytes = 2 << 10
)

// ended is what is kept of a job that has left.
type ended struct {
	Number uint64         `json:"n"`
	Told   store.Identity `json:"told,omitempty"` // who told of it, unless By did
	store.Ended
}

// endings are the calls that bring the jobs that ended in a process. Each is optional.
func (s *Store) endings(id store.Identity, jobs []store.Numbered) (requests []*request) {
	for page := range slices.Chunk(jobs, maxTold) {
		r := &request{script: endedScript, optional: true, keys: []string{s.fleetLast(id), s.fleet("ebb:ended")}, args: []string{strconv.Itoa(store.MaxEnded)}}
		for _, j := range page {
			if text := endedText(id, j); text != nil {
				r.args = append(r.args, number(j.Number), string(text))
			}
		}
		if len(r.args) > 1 {
			requests = append(requests, r)
		}
	}
	return requests
}

// endedText is nil if there is nothing to keep of j.
func endedText(id store.Identity, j store.Numbered) []byte {
	e := ended{Number: j.Number, Ended: j.Ended}
	if id != j.By {
		e.Told = id
	}
	text, err := json.Marshal(e)
	if err != nil || len(text) > maxEndedBytes {
		e.Log = nil // which may be no JSON
		text, err = json.Marshal(e)
	}
	if err != nil || len(text) > maxEndedBytes {
		return nil
	}
	return text
}

// Ended walks jobs that have left. One that comes meanwhile is not among them.
func (s *Store) Ended(ctx context.Context, jid string) iter.Seq2[store.Ended, error] {
	return func(yield func(store.Ended, error) bool) {
		type ending struct {
			told   store.Identity
			number uint64
		}
		seen := map[ending]bool{} // the list moves on while it is read
		quoted, err := json.Marshal(jid)
		for from := 0; err == nil; from += window {
			reply, failed := s.one(ctx, command("LRANGE", s.fleet("ebb:ended"), strconv.Itoa(from), strconv.Itoa(from+window-1)))
			if err = failed; err != nil {
				break
			}
			page := texts(reply)
			for _, text := range page {
				var e ended
				if jid != "" && !strings.Contains(text, string(quoted)) || json.Unmarshal([]byte(text), &e) != nil {
					continue
				}
				this := ending{cmp.Or(e.Told, e.By), e.Number}
				if seen[this] || jid != "" && e.JID != jid {
					continue
				}
				seen[this] = true
				if !yield(e.Ended, nil) {
					return
				}
			}
			if len(page) < window {
				return
			}
		}
		yield(store.Ended{}, wrap("ended", err))
	}
}

// mark is the call that remembers when a release began. It is optional.
func (s *Store) mark(release string) *request {
	return &request{script: markScript, optional: true, keys: []string{s.fleet("ebb:marks")},
		args: []string{release, millis(store.MarkAge), strconv.Itoa(store.MaxMarks)}}
}

// Marks returns the releases that began since then, Ruby's as its deploys have marked
// them.
func (s *Store) Marks(ctx context.Context, since time.Time) ([]store.Mark, error) {
	marks, err := s.marks(ctx, since)
	return marks, wrap("marks", err)
}

func (s *Store) marks(ctx context.Context, since time.Time) (marks []store.Mark, err error) {
	now := s.now().UTC()
	if oldest := now.Add(-store.MarkAge); since.Before(oldest) {
		since = oldest
	}
	reply, err := s.one(ctx, command("ZRANGE", s.fleet("ebb:marks"), "0", "-1", "WITHSCORES"))
	if err != nil {
		return nil, err
	}
	releases, err := reply.AsZScores()
	if err != nil {
		return nil, err
	}
	for _, r := range releases {
		marks = append(marks, store.Mark{At: time.UnixMilli(int64(r.Score)).UTC(), Release: r.Member})
	}
	if !s.cluster {
		ruby, err := s.rubyMarks(ctx, since, now)
		if err != nil {
			return nil, err
		}
		marks = append(marks, ruby...)
	}
	return firsts(marks, since), nil
}

// firsts are the first marks of releases, of those that began since then.
func firsts(marks []store.Mark, since time.Time) []store.Mark {
	slices.SortFunc(marks, func(a, b store.Mark) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Release, b.Release))
	})
	known := map[string]bool{}
	marks = slices.DeleteFunc(marks, func(m store.Mark) bool {
		again := known[m.Release]
		known[m.Release] = true
		return again || m.At.Before(since)
	})
	return marks[max(0, len(marks)-store.MaxMarks):]
}

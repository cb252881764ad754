package redisstore

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Each of Ruby's processes looks now and then for jobs whose score has come. It takes one
// out of its set, and in a second call puts it into its queue: killed in between, it
// takes the job along. So where there are such processes, the promoter is there first.
// What is due soon gets a score that is further off, and a reservation with the same
// score; it is promoted as much earlier than that as it was put off. It never leaves its
// set, and if no ebb process is left, it is merely late. A reservation counts as long as
// its job has that score: whoever deletes the job or gives it another time need not know
// of it.
const (
	// Longer than it takes until another promoter is there, and for clocks that are a
	// second ahead.
	reserveAhead = 3 * time.Second
	putOff       = 10 * time.Second

	reserveAtOnce = 500
	reservedMost  = 50_000 // of each set: the server keeps them twice

	askForRuby = 2 * time.Second
	leaveItFor = 30 * time.Second // to Ruby, after an error; longer than putOff
)

// rubies is whether Ruby's processes are there, as the promoter sees it.
type rubies struct {
	mu    sync.Mutex
	asked time.Time
	there bool
	ours  map[string]bool // the listed processes that are ebb's, which does not change
}

// next tells whether it is time to ask again, and about which processes not.
func (r *rubies) next() (ours map[string]bool, ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ours, time.Since(r.asked) >= askForRuby
}

// note keeps what was found, and tells whether Ruby has appeared.
func (r *rubies) note(there bool, ours map[string]bool) (appeared bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	appeared = there && !r.there
	r.asked, r.there, r.ours = time.Now(), there, ours
	return appeared
}

// rest ends reservations for a while: where ebb cannot promote, Ruby may.
func (r *rubies) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.there = time.Now().Add(leaveItFor), false
}

// seen tells whether Ruby was there lately. Who has not asked for long is no promoter.
func (r *rubies) seen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.there && time.Since(r.asked) < 2*askForRuby
}

// reservations are the keys that reserve.lua and due.lua know.
func (s *Store) reservations() []string {
	if s.cluster {
		return nil
	}
	return []string{"ebb:due:schedule", "ebb:due:retry"}
}

// reserve is the request for what is due soon; nil if there is nobody to keep it from.
func (s *Store) reserve() *request {
	if !s.rubies.seen() {
		return nil
	}
	return &request{
		script: reserveScript,
		keys:   append([]string{s.set(store.Scheduled, ""), s.set(store.Retrying, "")}, s.reservations()...),
		args:   []string{micros(reserveAhead), micros(putOff), strconv.Itoa(reserveAtOnce), strconv.Itoa(reservedMost)},
	}
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// lookForRuby finds out, if it is time to, whether one of the processes that are listed is
// not ebb's and lives. It returns whether that is news. Ruby's that hold jobs as ebb's do
// are Ruby's all the same: only the record tells.
func (s *Store) lookForRuby(ctx context.Context) (appeared bool, err error) {
	known, ask := s.rubies.next()
	if s.cluster || !ask {
		return false, nil
	}
	listed, err := s.one(ctx, command("SMEMBERS", "processes"))
	if err != nil {
		return false, err
	}
	ours := map[string]bool{}
	var requests []*request
	for _, id := range texts(listed) {
		if known[id] {
			ours[id] = true
		} else {
			r := command("HGET", id, "info")
			r.optional = true // something else may have that name
			requests = append(requests, r)
		}
	}
	records, err := s.do(ctx, requests...)
	if err != nil {
		return false, err
	}
	there := false
	for i, record := range records {
		var info rubyInfo
		if json.Unmarshal(text(record), &info) != nil {
			continue // it is gone
		}
		if strings.HasPrefix(info.Version, ourVersion) {
			ours[requests[i].keys[0]] = true
		} else {
			there = true
		}
	}
	return s.rubies.note(there, ours), nil
}

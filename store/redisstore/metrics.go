package redisstore

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/store"
)

const (
	// countEvery is the time between two reports of a process, as between two
	// heartbeats of Ruby's.
	countEvery = 10 * time.Second
	// maxKinds bounds a report, and so the time for which its script keeps the server
	// busy: about two milliseconds. What it leaves out is in the next one, a beat later.
	maxKinds = 50
)

// counting brings how runs of a process have ended into Sidekiq's job metrics. A report
// says what is new, and is repeated until it is answered: its number keeps it from
// counting twice. What a process has not reported when it dies is not counted.
type counting struct {
	told    map[string]store.Runs // by kind, what all reports together say
	pending []*report             // those without an answer
	reports uint64
	next    time.Time // when there is to be another one
}

type report struct {
	number uint64
	runs   []store.Runs // what is new
}

// beat makes the report that goes with a beat, or repeats the one that was not answered.
// There may be none.
func (c *counting) beat(runs []store.Runs, now time.Time) []*report {
	if len(c.pending) == 0 && !now.Before(c.next) {
		if n := c.report(runs); n > 0 && n < maxKinds {
			c.next = now.Add(countEvery)
		}
	}
	return c.pending
}

// leave makes reports of all that is left.
func (c *counting) leave(runs []store.Runs) []*report {
	for c.report(runs) == maxKinds {
	}
	return c.pending
}

// report makes a report of what is new, and returns how many kinds are in it.
func (c *counting) report(runs []store.Runs) int {
	r := &report{number: c.reports + 1}
	for _, now := range runs {
		fresh := now.Since(c.told[now.Kind])
		if fresh.Ended <= 0 || len(r.runs) == maxKinds {
			continue
		}
		r.runs = append(r.runs, fresh)
		c.told[now.Kind] = now
	}
	if len(r.runs) > 0 {
		c.reports++
		c.pending = append(c.pending, r)
	}
	return len(r.runs)
}

// answered takes reports for counted. So are those that the server refused, as a full
// one does: it may have counted a part.
func (c *counting) answered(reports []*report) {
	for _, r := range reports {
		if len(c.pending) > 0 && c.pending[0] == r {
			c.pending = c.pending[1:]
		}
	}
}

// counts are the calls that bring reports of id, for the minute of now. Each is optional:
// no beat is to fail because of what it says for people.
func (s *Store) counts(id store.Identity, reports []*report, now time.Time) []*request {
	requests := make([]*request, len(reports))
	now = now.UTC()
	for i, r := range reports {
		q := &request{script: runsScript, optional: true, keys: append([]string{s.last("", id)}, minutes(now)...)}
		var fields, histograms []string
		for _, runs := range r.runs {
			fields = append(fields, runs.Kind+"|p", strconv.FormatInt(runs.Ended, 10))
			if runs.Failed > 0 {
				fields = append(fields, runs.Kind+"|f", strconv.FormatInt(runs.Failed, 10))
			}
			if runs.Ended > runs.Failed {
				fields = append(fields, runs.Kind+"|ms", strconv.FormatInt(runs.Took.Milliseconds(), 10))
				q.keys = append(q.keys, spreads(runs.Kind, now)...)
				histograms = append(histograms, raise(runs.Spread)...)
			}
		}
		q.args = append([]string{number(r.number), strconv.Itoa(len(fields) / 2)}, append(fields, histograms...)...)
		requests[i] = q
	}
	return requests
}

// minutes are the hashes in which Sidekiq 7 and 8 count the runs of a minute, and 8
// those of ten.
func minutes(t time.Time) []string {
	h, m := t.Hour(), t.Minute()
	return []string{
		fmt.Sprintf("j|%s|%d:%d", t.Format("20060102"), h, m),
		fmt.Sprintf("j|%s|%d:%02d", t.Format("060102"), h, m),
		fmt.Sprintf("j|%s|%d:%d", t.Format("060102"), h, m/10),
	}
}

// spreads are the histograms of a kind and a minute, of Sidekiq 7 and of 8.
func spreads(kind string, t time.Time) []string {
	return []string{
		fmt.Sprintf("%s-%02d-%02d:%d", kind, t.Day(), t.Hour(), t.Minute()),
		fmt.Sprintf("h|%s-%d-%d:%d", kind, t.Day(), t.Hour(), t.Minute()),
	}
}

// raise is what BITFIELD takes to add to a histogram, after the number of its words.
func raise(spread store.Spread) []string {
	words := []string{""}
	for i, n := range spread {
		if n > 0 {
			words = append(words, "INCRBY", "u16", "#"+strconv.Itoa(i), strconv.FormatInt(n, 10))
		}
	}
	words[0] = strconv.Itoa(len(words) - 1)
	return words
}

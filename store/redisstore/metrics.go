package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/store"
)

const (
	// countEvery is the time between two reports of a process, as between two
	// heartbeats of Ruby's.
	countEvery = 10 * time.Second
	// maxRuns bounds a report, and so the time for which each of its scripts keeps the
	// server busy: two milliseconds at most. What it leaves out is in the next one, a
	// beat later.
	maxRuns = 25
)

// counting brings how runs of a process have ended into ebb's series and Sidekiq's job
// metrics. A report says what is new, and is repeated until it is answered: its number
// keeps it from counting twice. What a process has not reported when it dies is not
// counted.
type counting struct {
	told    map[label]store.Runs // without a release: what all reports together say
	release string               // of the process, as of its last beat
	pending []*report            // those without an answer
	reports uint64
	next    time.Time // when there is to be another one
}

// report goes to the same minutes whenever it is repeated: what is Ruby's is known by
// what the series lack of Sidekiq's metrics.
type report struct {
	number  uint64
	at      time.Time // by the server's clock, as far as we know it
	release string
	runs    []store.Runs // what is new
}

// beat makes the report that goes with a beat, or repeats the one that was not answered.
// There may be none.
func (c *counting) beat(runs []store.Runs, now, server time.Time) []*report {
	if len(c.pending) == 0 && !now.Before(c.next) {
		if n := c.report(runs, server); n > 0 && n < maxRuns {
			c.next = now.Add(countEvery)
		}
	}
	return slices.Clone(c.pending)
}

// leave makes reports of all that is left.
func (c *counting) leave(runs []store.Runs, server time.Time) []*report {
	for c.report(runs, server) == maxRuns {
	}
	return slices.Clone(c.pending)
}

// report makes a report of what is new, and returns how many labels it tells of.
func (c *counting) report(runs []store.Runs, server time.Time) int {
	r := &report{number: c.reports + 1, at: server.UTC(), release: c.release}
	for _, now := range runs {
		from := label{kind: now.Kind, queue: now.Queue}
		fresh := now.Since(c.told[from])
		if fresh.Ended <= 0 || len(r.runs) == maxRuns {
			continue
		}
		r.runs = append(r.runs, fresh)
		c.told[from] = now
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

// counts are the calls that bring reports of id. Each is optional: no beat is to fail
// because of what it says for people.
func (s *Store) counts(id store.Identity, reports []*report) []*request {
	var requests []*request
	for _, r := range reports {
		requests = append(requests, s.intoSeries(id, r))
		if !s.cluster {
			requests = append(requests, s.intoMetrics(id, r))
		}
	}
	return requests
}

// intoMetrics is the call that brings a report into Sidekiq's job metrics, which know
// of no queues.
func (s *Store) intoMetrics(id store.Identity, r *report) *request {
	q := &request{script: runsScript, optional: true, keys: []string{
		s.last("", id), sidekiq7.minute(r.at), sidekiq8.minute(r.at), sidekiq8.ten(r.at),
	}}
	kinds := map[string]store.Runs{}
	for _, runs := range r.runs {
		kinds[runs.Kind] = kinds[runs.Kind].Plus(runs)
	}
	var fields, histograms []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		runs := kinds[kind]
		fields = append(fields, kind+"|p", strconv.FormatInt(runs.Ended, 10))
		if runs.Failed > 0 {
			fields = append(fields, kind+"|f", strconv.FormatInt(runs.Failed, 10))
		}
		if runs.Ended > runs.Failed {
			fields = append(fields, kind+"|ms", strconv.FormatInt(runs.Took.Milliseconds(), 10))
			q.keys = append(q.keys, sidekiq7.histogram(kind, r.at), sidekiq8.histogram(kind, r.at))
			histograms = append(histograms, raise(runs.Spread)...)
		}
	}
	q.args = append([]string{number(r.number), strconv.Itoa(len(fields) / 2)}, append(fields, histograms...)...)
	return q
}

// family is how one major version of Sidekiq calls what it counts. Times are in UTC.
type family struct {
	minute    func(t time.Time) string
	ten       func(t time.Time) string // the sums of ten minutes; nil: there are none
	histogram func(kind string, t time.Time) string
}

var (
	sidekiq7 = family{
		minute: func(t time.Time) string {
			return fmt.Sprintf("j|%s|%d:%d", t.Format("20060102"), t.Hour(), t.Minute())
		},
		histogram: func(kind string, t time.Time) string {
			return fmt.Sprintf("%s-%02d-%02d:%d", kind, t.Day(), t.Hour(), t.Minute())
		},
	}
	sidekiq8 = family{
		minute: func(t time.Time) string {
			return fmt.Sprintf("j|%s|%d:%02d", t.Format("060102"), t.Hour(), t.Minute())
		},
		ten: func(t time.Time) string {
			return fmt.Sprintf("j|%s|%d:%d", t.Format("060102"), t.Hour(), t.Minute()/10)
		},
		histogram: func(kind string, t time.Time) string {
			return fmt.Sprintf("h|%s-%d-%d:%d", kind, t.Day(), t.Hour(), t.Minute())
		},
	}
)

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

package redisstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// For how long Sidekiq keeps its minutes, and the sums of ten.
const (
	minutesKept = 8 * time.Hour
	tensKept    = 72 * time.Hour
)

// rest is what Sidekiq has counted of a kind in a step above what ebb's series have.
type rest struct {
	runs    store.Runs
	of      family
	minutes []time.Time // of which there may be histograms
}

// addRuby adds what Ruby has counted to steps that begin at starts.
//
// Sidekiq's keys have ebb's runs, too: what is above those is Ruby's. So is what an ebb
// has run that keeps no series. ebb's are in the keys of 7 and of 8; where both have more
// of a kind, the larger rest counts. That is too little where a kind runs in both
// versions of Sidekiq, and counts no run twice.
func (s *Store) addRuby(ctx context.Context, q store.SeriesQuery, now time.Time, starts []time.Time, steps []sums) error {
	switch q.Step {
	case store.Moment:
		return nil
	case store.Day:
		return s.addDays(ctx, starts, steps)
	}
	rests := make([]map[string]*rest, len(steps))
	for i := range rests {
		rests[i] = map[string]*rest{}
	}
	for _, f := range []family{sidekiq7, sidekiq8} {
		if err := s.restsOf(ctx, f, q, now, starts, steps, rests); err != nil {
			return err
		}
	}
	if err := s.addSpreads(ctx, steps, rests); err != nil {
		return err
	}
	for i := range steps {
		steps[i].add(rests[i])
	}
	return nil
}

// restsOf finds what one version of Sidekiq has counted above steps.
func (s *Store) restsOf(ctx context.Context, f family, q store.SeriesQuery, now time.Time, starts []time.Time, steps []sums, rests []map[string]*rest) error {
	var keys []string
	minutes, ends := make([][]time.Time, len(starts)), make([]int, len(starts))
	for i, start := range starts {
		var sources []string
		sources, minutes[i] = f.sources(q.Step, start, now)
		keys = append(keys, sources...)
		ends[i] = len(keys)
	}
	var fields []string
	if q.Kind != "" && q.Kind != store.Others {
		fields = []string{q.Kind + "|p", q.Kind + "|f", q.Kind + "|ms"}
	}
	hashes, err := s.hashes(ctx, keys, fields...)
	if err != nil {
		return err
	}
	from := 0
	for i, end := range ends {
		counted := map[string]store.Runs{}
		for _, hash := range hashes[from:end] {
			addMetrics(counted, hash)
		}
		from = end
		for kind, runs := range steps[i].rest(counted) {
			if r := rests[i][kind]; runs.Ended > 0 && (r == nil || r.runs.Ended < runs.Ended) {
				rests[i][kind] = &rest{runs, f, minutes[i]}
			}
		}
	}
	return nil
}

// rest is what was counted of kinds above what c has of them. Where c does not tell all
// kinds apart, neither can the rest be.
func (c sums) rest(counted map[string]store.Runs) map[string]store.Runs {
	ours := c.byKind()
	rests := make(map[string]store.Runs, len(counted))
	var all store.Runs
	for kind, runs := range counted {
		rests[kind] = above(runs, ours[kind])
		all = all.Plus(rests[kind])
	}
	if others, full := ours[store.Others]; full {
		return map[string]store.Runs{store.Others: above(all, others)}
	}
	return rests
}

// byKind are the sums of kinds.
func (c sums) byKind() map[string]store.Runs {
	kinds := map[string]store.Runs{}
	for l, runs := range c {
		kinds[l.kind] = kinds[l.kind].Plus(runs)
	}
	return kinds
}

// addSpreads adds the times of the rests, as far as there are histograms.
func (s *Store) addSpreads(ctx context.Context, steps []sums, rests []map[string]*rest) error {
	var keys []string
	var of []*rest
	for i := range rests {
		for kind, r := range rests[i] {
			if kind == store.Others || r.runs.Ended == r.runs.Failed {
				continue
			}
			for _, t := range r.minutes {
				keys, of = append(keys, r.of.histogram(kind, t)), append(of, r)
			}
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), window)
		replies, err := s.do(ctx, optional("GET", keys[:n])...)
		if err != nil {
			return err
		}
		for i := range replies {
			addHistogram(&of[i].runs.Spread, text(replies[i]))
		}
		keys, of = keys[n:], of[n:]
	}
	for i := range rests {
		ours := steps[i].byKind()
		for kind, r := range rests[i] {
			r.runs.Spread = above(r.runs, store.Runs{Spread: ours[kind].Spread}).Spread
		}
	}
	return nil
}

func addHistogram(s *store.Spread, counters []byte) {
	for i := 0; i < len(s) && len(counters) >= 2; i++ {
		s[i] += int64(binary.BigEndian.Uint16(counters))
		counters = counters[2:]
	}
}

// optional are commands that the server may refuse, one for each key.
func optional(name string, keys []string, args ...string) []*request {
	requests := make([]*request, len(keys))
	for i, key := range keys {
		requests[i] = command(name, key, args...)
		requests[i].optional = true
	}
	return requests
}

// add adds rests, of which neither queue nor release is known: those of which most ran,
// as far as the step may tell them apart.
func (c sums) add(rests map[string]*rest) {
	kinds := slices.SortedFunc(maps.Keys(rests), func(a, b string) int {
		return cmp.Or(cmp.Compare(rests[b].runs.Ended, rests[a].runs.Ended), strings.Compare(a, b))
	})
	for _, kind := range kinds {
		l := label{kind: kind}
		if _, known := c[l]; !known && len(c) >= store.MaxSeries {
			l.kind = store.Others
		}
		c[l] = c[l].Plus(rests[kind].runs)
	}
}

// above is what all has more than part.
func above(all, part store.Runs) store.Runs {
	rest := all.Since(part)
	rest.Ended, rest.Took, rest.Waited = max(rest.Ended, 0), max(rest.Took, 0), max(rest.Waited, 0)
	rest.Failed = min(max(rest.Failed, 0), rest.Ended)
	for i := range rest.Spread {
		rest.Spread[i], rest.Waits[i] = max(rest.Spread[i], 0), max(rest.Waits[i], 0)
	}
	return rest
}

// sources are the hashes whose sums are those of a step, and the minutes of which there
// are histograms. A step of which a part is already forgotten has none.
func (f family) sources(step store.Step, start, now time.Time) (keys []string, minutes []time.Time) {
	end := start.Add(time.Duration(step))
	if now.Sub(start) <= minutesKept {
		for t := start; t.Before(end) && !t.After(now); t = t.Add(time.Minute) {
			minutes = append(minutes, t)
		}
	}
	if step == store.Minute || f.ten == nil {
		for _, t := range minutes {
			keys = append(keys, f.minute(t))
		}
		return keys, minutes
	}
	if now.Sub(start) > tensKept {
		return nil, minutes
	}
	for t := start; t.Before(end); t = t.Add(10 * time.Minute) {
		keys = append(keys, f.ten(t))
	}
	return keys, minutes
}

// addMetrics adds a hash of Sidekiq's job metrics to the sums of kinds.
func addMetrics(kinds map[string]store.Runs, hash map[string]string) {
	for field, value := range hash {
		at := strings.LastIndexByte(field, '|')
		n, err := strconv.ParseInt(value, 10, 64)
		if at < 0 || err != nil {
			continue
		}
		runs := kinds[field[:at]]
		switch field[at+1:] {
		case "p":
			runs.Ended += n
		case "f":
			runs.Failed += n
		case "ms":
			runs.Took += time.Duration(n) * time.Millisecond
		default:
			continue
		}
		kinds[field[:at]] = runs
	}
}

// addDays raises the sums of days to what Sidekiq's counters say, which have the runs of
// both languages, those that ebb tallies included. Of Ruby's they do not tell the times.
func (s *Store) addDays(ctx context.Context, starts []time.Time, steps []sums) error {
	keys := make([]string, 0, 2*len(starts))
	for _, start := range starts {
		day := start.Format(":2006-01-02")
		keys = append(keys, "stat:processed"+day, "stat:failed"+day)
	}
	replies, err := s.do(ctx, optional("GET", keys)...)
	if err != nil {
		return err
	}
	for i := range starts {
		all := steps[i][label{}]
		for j, total := range []*int64{&all.Ended, &all.Failed} {
			n, _ := replies[2*i+j].AsInt64()
			*total = max(*total, n)
		}
		steps[i][label{}] = all
	}
	return nil
}

// rubyMarks are the releases that Sidekiq 7's and 8's deploy marks tell of: of each day
// a hash, of the minute, in ISO 8601, to the release.
func (s *Store) rubyMarks(ctx context.Context, since, now time.Time) (marks []store.Mark, err error) {
	var keys []string
	for day := store.Day.Start(since); !day.After(now); day = day.AddDate(0, 0, 1) {
		keys = append(keys, day.Format("20060102")+"-marks")
	}
	hashes, err := s.hashes(ctx, keys)
	for _, hash := range hashes {
		for minute, release := range hash {
			if at, err := time.Parse(time.RFC3339, minute); err == nil && release != "" {
				marks = append(marks, store.Mark{At: at.UTC(), Release: release})
			}
		}
	}
	return marks, err
}

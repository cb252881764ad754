package redisstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Series are kept in one hash for each step that has begun: a label, which is a kind, a
// queue and a release, and its sums in MessagePack, by their number: those that are not
// zero, as a run raises few of them.
const (
	sumEnded = 1 + iota
	sumFailed
	sumTook // in ms, as that of waits
	sumWaited
	sumSpread
	sumWaits = sumSpread + len(store.Spread{})
	sumsEnd  = sumWaits + len(store.Spread{})
)

var stepNames = map[store.Step]string{
	store.Moment: "10s", store.Minute: "1m", store.TenMinutes: "10m", store.Hour: "1h", store.Day: "1d",
}

// runs is the hash of the step that began at start.
func (l layout) runs(step store.Step, start time.Time) string {
	return l.fleet("ebb:runs:" + stepNames[step] + ":" + start.UTC().Format("20060102T150405"))
}

// fleetLast is last where the fleet's keys are: on one server the same.
func (l layout) fleetLast(id store.Identity) string { return l.fleet("ebb:last:" + string(id)) }

// label is what runs are counted by.
type label struct{ kind, queue, release string }

// maxLabel bounds the field of a label. One that is longer, or has the mark in it that is
// between its parts, is not told apart.
const maxLabel = 512

func (l label) String() string {
	parts := []string{l.kind, l.queue, l.release}
	text := strings.Join(parts, "\x00")
	switch {
	case l == label{}:
		return ""
	case len(text) > maxLabel || strings.Count(text, "\x00") > 2:
		return label{kind: store.Others}.String()
	}
	return text
}

func readLabel(text string) label {
	parts := append(strings.SplitN(text, "\x00", 3), "", "")
	return label{parts[0], parts[1], parts[2]}
}

// intoSeries is the call that brings a report into ebb's series.
func (s *Store) intoSeries(id store.Identity, r *report) *request {
	q := &request{script: seriesScript, optional: true, keys: []string{s.fleetLast(id)},
		args: []string{number(r.number), strconv.Itoa(store.MaxSeries), label{kind: store.Others}.String()}}
	for _, step := range []store.Step{store.Moment, store.Day, store.Minute, store.TenMinutes, store.Hour} {
		start := step.Start(r.at)
		q.keys = append(q.keys, s.runs(step, start))
		q.args = append(q.args, strconv.FormatInt(start.Add(time.Duration(step)+step.Kept()).UnixMilli(), 10))
	}
	var all store.Runs
	for _, runs := range r.runs {
		all = all.Plus(runs)
	}
	q.args = appendSums(q.args, label{}, all)
	for _, runs := range r.runs {
		q.args = appendSums(q.args, label{runs.Kind, runs.Queue, r.release}, runs)
	}
	return q
}

// appendSums appends what series.lua takes of one label.
func appendSums(args []string, l label, r store.Runs) []string {
	at := len(args) + 1
	args = append(args, l.String(), "")
	add := func(sum int, n int64) {
		if n > 0 {
			args = append(args, strconv.Itoa(sum), strconv.FormatInt(n, 10))
		}
	}
	add(sumEnded, r.Ended)
	add(sumFailed, r.Failed)
	add(sumTook, r.Took.Milliseconds())
	add(sumWaited, r.Waited.Milliseconds())
	for i := range r.Spread {
		add(sumSpread+i, r.Spread[i])
		add(sumWaits+i, r.Waits[i])
	}
	args[at] = strconv.Itoa((len(args) - at - 1) / 2)
	return args
}

// readSums reads what series.lua has packed: a list of sums, or numbers of sums with
// these. What else may be there counts for nothing.
func readSums(packed string) (r store.Runs) {
	p := unpacker(packed)
	pairs, n := p.head()
	for i := range n {
		sum := int64(i + 1)
		if pairs {
			sum = p.int()
		}
		value := p.int()
		switch {
		case sum == sumEnded:
			r.Ended = value
		case sum == sumFailed:
			r.Failed = value
		case sum == sumTook:
			r.Took = time.Duration(value) * time.Millisecond
		case sum == sumWaited:
			r.Waited = time.Duration(value) * time.Millisecond
		case sum >= sumSpread && sum < int64(sumWaits):
			r.Spread[sum-sumSpread] = value
		case sum >= int64(sumWaits) && sum < int64(sumsEnd):
			r.Waits[sum-int64(sumWaits)] = value
		}
	}
	return r
}

// unpacker is the rest of a text in MessagePack.
type unpacker string

// head reads the beginning of a list or a map, and how much is in it.
func (p *unpacker) head() (pairs bool, n int) {
	switch b := p.take(1)[0]; {
	case b&0xf0 == 0x80:
		return true, int(b & 0x0f)
	case b&0xf0 == 0x90:
		return false, int(b & 0x0f)
	case b == 0xdc, b == 0xde:
		return b == 0xde, min(int(binary.BigEndian.Uint16(p.take(2))), sumsEnd)
	}
	return false, 0
}

// int reads a number that is not below zero; what is none is 0.
func (p *unpacker) int() int64 {
	b := p.take(1)[0]
	switch {
	case b < 0x80:
		return int64(b)
	case b >= 0xcc && b <= 0xcf: // of 1, 2, 4 or 8 bytes; a signed one looks the same
		return p.uint(1 << (b - 0xcc))
	case b >= 0xd0 && b <= 0xd3:
		return p.uint(1 << (b - 0xd0))
	}
	return 0
}

func (p *unpacker) uint(bytes int) (n int64) {
	for _, b := range p.take(bytes) {
		n = n<<8 | int64(b)
	}
	return n
}

// take returns the next n bytes; zeros for those that are missing.
func (p *unpacker) take(n int) []byte {
	taken := make([]byte, n)
	*p = (*p)[copy(taken, *p):]
	return taken
}

// Series returns how runs went, as ebb and Ruby have counted it.
func (s *Store) Series(ctx context.Context, q store.SeriesQuery) ([]store.Point, error) {
	points, err := s.series(ctx, q)
	return points, wrap("series", err)
}

// sums are how the runs of one step went.
type sums map[label]store.Runs

// seriesPage is how many steps are read before ctx is looked at.
const seriesPage = 100

func (s *Store) series(ctx context.Context, q store.SeriesQuery) (points []store.Point, err error) {
	if !slices.Contains(store.Steps, q.Step) {
		return nil, fmt.Errorf("there is no step of %v", time.Duration(q.Step))
	}
	now := s.now().UTC()
	starts := startsOf(q, now)
	for page := range slices.Chunk(starts, seriesPage) {
		keys := make([]string, len(page))
		for i, start := range page {
			keys[i] = s.runs(q.Step, start)
		}
		hashes, err := s.hashes(ctx, keys)
		if err != nil {
			return nil, err
		}
		steps := make([]sums, len(page))
		for i, hash := range hashes {
			steps[i] = make(sums, len(hash))
			for field, packed := range hash {
				steps[i][readLabel(field)] = readSums(packed)
			}
		}
		if !s.cluster {
			if err := s.addRuby(ctx, q, now, page, steps); err != nil {
				return nil, err
			}
		}
		for i, c := range steps {
			points = append(points, c.points(page[i], q)...)
		}
	}
	return points, nil
}

// startsOf are the beginnings of the steps that q asks for, as far as they are kept.
func startsOf(q store.SeriesQuery, now time.Time) (starts []time.Time) {
	from, to := q.From, q.To
	if oldest := now.Add(-q.Step.Kept()); from.Before(oldest) {
		from = oldest
	}
	if to.IsZero() || to.After(now) {
		to = now.Add(1)
	}
	start := q.Step.Start(from)
	if start.Before(from) {
		start = start.Add(time.Duration(q.Step))
	}
	for ; start.Before(to); start = start.Add(time.Duration(q.Step)) {
		starts = append(starts, start)
	}
	return starts
}

// points are those of one step that q asks for, in their order.
func (c sums) points(start time.Time, q store.SeriesQuery) (points []store.Point) {
	for n, runs := range c {
		if runs.Ended <= 0 || q.Kind != "" && n.kind != q.Kind {
			continue
		}
		runs.Kind, runs.Queue = n.kind, n.queue
		points = append(points, store.Point{At: start, Release: n.release, Runs: runs})
	}
	slices.SortFunc(points, func(a, b store.Point) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Queue, b.Queue), strings.Compare(a.Release, b.Release))
	})
	return points
}

// hashes reads whole hashes, or fields of each, in windows. One that the server refuses
// to show, or that is something else, is empty.
func (s *Store) hashes(ctx context.Context, keys []string, fields ...string) ([]map[string]string, error) {
	hashes := make([]map[string]string, 0, len(keys))
	for page := range slices.Chunk(keys, seriesPage) {
		requests := optional("HGETALL", page)
		if len(fields) > 0 {
			requests = optional("HMGET", page, fields...)
		}
		replies, err := s.do(ctx, requests...)
		if err != nil {
			return nil, err
		}
		for i := range replies {
			hash, _ := replies[i].AsStrMap()
			if len(fields) > 0 {
				hash = map[string]string{}
				for j, value := range texts(replies[i]) {
					hash[fields[j]] = value
				}
			}
			hashes = append(hashes, hash)
		}
	}
	return hashes, nil
}

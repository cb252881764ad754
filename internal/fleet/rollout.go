package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// Rollout is what processes of one release went through together: they were replaced,
// there were too many of them, or they vanished.
type Rollout struct {
	ID   string // stays while it grows; fit for a URL
	What string // rollout, restart, scale-in, stop or vanished
	From string // the release of those that ended; empty: not known
	To   string // a rollout's: the release that came
	Tag  string // of those that ended, if all have the same

	Began time.Time // the first notice, or when the first was last heard of
	Ended time.Time // zero: it goes on

	Stops []Stop // the first to begin first
	// Living are those of the old release that are still there: leaving and, where all of
	// them are to go, running. Next are those of the new one.
	Living []store.Process
	Next   []store.Process

	Fates        Fates
	StillRunning int // jobs of those that leave
	Touched      int // fates and what still runs
	Lost         int // expected to be 0
	Longest      *Stop

	last time.Time // when the last of them began to leave
}

// What happened.
const (
	IsRollout  = "rollout"
	IsRestart  = "restart"
	IsScaleIn  = "scale-in"
	IsStop     = "stop"
	IsVanished = "vanished"
)

const (
	chained = time.Minute      // between the end of one and the beginning of the next
	ahead   = 15 * time.Minute // how long before the first leaves the new release may begin
	behind  = 10 * time.Minute // how long after the last has begun to leave it may, and others may follow
)

// Rollouts reads what processes went through together out of how each of them ended,
// which live, and when releases began. The latest comes first.
func Rollouts(stops []store.StopReport, living []store.Process, marks []store.Mark, now time.Time) []Rollout {
	var all []Rollout
	open := map[string]int{} // by release: the latest in all
	until := map[string]time.Time{}
	for _, d := range departures(stops, living, now) {
		key := cmp.Or(releaseOf(d.release, d.tag), d.tag)
		i, known := open[key]
		if !known || d.at.Sub(until[key]) > chained && !d.vague {
			i = len(all)
			open[key], until[key] = i, d.at
			all = append(all, Rollout{From: releaseOf(d.release, d.tag), Tag: d.tag, Began: d.at, ID: idOf(key, d)})
		}
		all[i].add(d)
		if d.until.After(until[key]) {
			until[key] = d.until
		}
	}
	all = join(all, living, marks)
	latest := map[string]int{}
	for i, r := range all {
		latest[r.From] = i
	}
	for i := range all {
		all[i].judge(living, marks, now, latest[all[i].From] == i)
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b Rollout) int { return b.Began.Compare(a.Began) })
	return all
}

// FindRollout returns the one that an ID names. One whose first process turned out to have
// begun somewhat otherwise than was seen at first answers to its old name too.
func FindRollout(all []Rollout, id string) *Rollout {
	if i := slices.IndexFunc(all, func(r Rollout) bool { return r.ID == id }); i >= 0 {
		return &all[i]
	}
	head, minute := cutMinute(id)
	if minute.IsZero() {
		return nil
	}
	for i := range all {
		r := &all[i]
		end := r.Ended
		if end.IsZero() {
			end = minute
		}
		if h, _ := cutMinute(r.ID); h == head && !minute.Before(r.Began.Add(-behind)) && !minute.After(end.Add(chained)) {
			return r
		}
	}
	return nil
}

const idMinute = "20060102T1504"

func idOf(key string, d departure) string {
	word := d.at.UTC().Format(idMinute)
	if d.vague {
		word = string(d.id[strings.LastIndexByte(string(d.id), ':')+1:])
	}
	return urlSafe(cmp.Or(key, "processes") + "-" + word)
}

func cutMinute(id string) (head string, minute time.Time) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return id, time.Time{}
	}
	minute, err := time.Parse(idMinute, id[i+1:])
	if err != nil {
		return id, time.Time{}
	}
	return id[:i], minute
}

func urlSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, s)
}

// ReleaseOf is the release of a process. Ruby knows none, so its tag counts if it looks
// like a version: it has a digit.
func ReleaseOf(p *store.Process) string { return releaseOf(p.Release, p.Tag) }

func releaseOf(release, tag string) string {
	if release == "" && strings.ContainsAny(tag, "0123456789") {
		return tag
	}
	return release
}

// Leaving reports whether a process is on its way out, or out already without anybody
// having seen to it.
func Leaving(p *store.Process) bool {
	return p.Lapsed || p.State == lifecycle.Quieted.String() || p.State == lifecycle.Draining.String()
}

func (r *Rollout) add(d departure) {
	if r.Tag != d.tag {
		r.Tag = ""
	}
	if d.at.After(r.last) {
		r.last = d.at
	}
	if d.process != nil {
		r.Living = append(r.Living, *d.process)
		r.StillRunning += len(d.process.Busy)
		r.Touched += len(d.process.Busy)
		return
	}
	r.Stops = append(r.Stops, *d.stop)
	r.Fates.add(d.stop.Fates)
	r.Touched += d.stop.Touched
	r.Lost += d.stop.Lost
}

func (c *Fates) add(more Fates) {
	c.Finished += more.Finished
	c.Failed += more.Failed
	c.Checkpointed += more.Checkpointed
	c.HandedBack += more.HandedBack
	c.Rescued += more.Rescued
	c.Deaf += more.Deaf
	c.Other += more.Other
}

// join makes one rollout of those in which one release gave way to another step by step,
// however long it was waited between two steps, up to a while.
func join(all []Rollout, living []store.Process, marks []store.Mark) []Rollout {
	latest := map[string]int{} // by release that left, in joined
	joined := all[:0]
	for _, r := range all {
		r.To = r.successor(living, marks)
		if i, known := latest[r.From]; known && r.To != "" && joined[i].To == r.To && r.Began.Sub(joined[i].end()) <= behind {
			joined[i].take(&r)
			continue
		}
		latest[r.From] = len(joined)
		joined = append(joined, r)
	}
	return joined
}

// take adds what a later step of the same rollout did.
func (r *Rollout) take(step *Rollout) {
	if r.Tag != step.Tag {
		r.Tag = ""
	}
	r.last = step.last
	r.Stops, r.Living = append(r.Stops, step.Stops...), append(r.Living, step.Living...)
	r.Fates.add(step.Fates)
	r.StillRunning += step.StillRunning
	r.Touched += step.Touched
	r.Lost += step.Lost
}

// end is when the last of them was gone, or began to go.
func (r *Rollout) end() time.Time {
	end := r.last
	for _, s := range r.Stops {
		if s.EndedAt.After(end) {
			end = s.EndedAt
		}
	}
	return end
}

// judge finds out what it was once all who left are known.
func (r *Rollout) judge(living []store.Process, marks []store.Mark, now time.Time, latest bool) {
	leaving := len(r.Living) > 0
	r.To = r.successor(living, marks)
	others, again := 0, false // of the old release, that run
	for _, p := range living {
		switch release := ReleaseOf(&p); {
		case r.To != "" && release == r.To:
			r.Next = append(r.Next, p)
		case release == r.From && p.Tag == cmp.Or(r.Tag, p.Tag) && !Leaving(&p):
			others++
			again = again || !p.Started.Before(r.Began) && !p.Started.After(r.last.Add(behind))
			if r.To != "" && latest {
				r.Living = append(r.Living, p)
			}
		}
	}
	vanished := 0
	for i := range r.Stops {
		s := &r.Stops[i]
		if s.Vanished() {
			vanished++
		}
		if used, _ := s.Used(); used > 0 {
			r.Longest = longer(r.Longest, s)
		}
	}
	switch {
	case r.To != "":
		r.What = IsRollout
	case vanished == len(r.Stops) && !slices.ContainsFunc(r.Living, func(p store.Process) bool { return !p.Lapsed }):
		r.What = IsVanished
	case again:
		r.What = IsRestart
	case others > 0:
		r.What = IsScaleIn
	default:
		r.What = IsStop
	}
	if following := r.What == IsRollout && len(r.Living) > 0 && now.Sub(r.last) < behind; leaving || following {
		return
	}
	r.Ended = r.end()
}

// successor is the release that came in place of the one that left: the last that began
// before it left, else the first after. Empty: none did around that time.
func (r *Rollout) successor(living []store.Process, marks []store.Mark) string {
	if r.From == "" {
		return ""
	}
	var before, after store.Mark
	see := func(m store.Mark) {
		switch {
		case m.Release == "" || m.Release == r.From || m.At.Before(r.Began.Add(-ahead)) || m.At.After(r.last.Add(behind)):
		case !m.At.After(r.Began):
			if before.Release == "" || m.At.After(before.At) {
				before = m
			}
		case after.Release == "" || m.At.Before(after.At):
			after = m
		}
	}
	for _, m := range marks {
		see(m)
	}
	for i := range living {
		p := &living[i]
		if r.Tag == "" || p.Tag == "" || p.Tag == r.Tag || p.Release == "" {
			see(store.Mark{At: p.Started, Release: ReleaseOf(p)})
		}
	}
	return cmp.Or(before.Release, after.Release, r.canary(living, marks))
}

// canary is the release that lives, if it began after this one did, however long ago.
func (r *Rollout) canary(living []store.Process, marks []store.Mark) (release string) {
	own := slices.IndexFunc(marks, func(m store.Mark) bool { return m.Release == r.From })
	for i, m := range marks {
		lives := func(p store.Process) bool {
			return ReleaseOf(&p) == m.Release && !Leaving(&p) && (r.Tag == "" || p.Tag == "" || p.Tag == r.Tag)
		}
		if own >= 0 && i > own && m.At.Before(r.Began) && slices.ContainsFunc(living, lives) {
			release = m.Release
		}
	}
	return release
}

// Toward is all that ended so that a release could come, as one: several releases may
// have. nil: nothing did, as far as is known.
func Toward(all []Rollout, release string) *Rollout {
	var sum *Rollout
	for i := range all {
		r := &all[i]
		switch {
		case r.To != release || release == "":
			continue
		case sum == nil:
			sum = new(*r)
			sum.Stops, sum.Living = slices.Clone(r.Stops), slices.Clone(r.Living)
			continue
		}
		sum.Stops = append(sum.Stops, r.Stops...)
		sum.Living = append(sum.Living, r.Living...)
		sum.Fates.add(r.Fates)
		sum.StillRunning += r.StillRunning
		sum.Touched += r.Touched
		sum.Lost += r.Lost
		if r.Began.Before(sum.Began) {
			sum.Began = r.Began
		}
		if r.Ended.IsZero() {
			sum.Ended = time.Time{}
		}
		sum.Longest = longer(sum.Longest, r.Longest)
	}
	if sum != nil {
		slices.SortStableFunc(sum.Stops, func(a, b Stop) int { return a.EndedAt.Compare(b.EndedAt) })
	}
	return sum
}

// longer returns the one of two stops that used more of its grace.
func longer(a, b *Stop) *Stop {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	if first, _ := a.Used(); first > 0 {
		if second, _ := b.Used(); second <= first {
			return a
		}
	}
	return b
}

// Others are the living processes of other releases that a release is to replace:
// those that have the tag of one of its own, or no tag.
func Others(living []store.Process, release string) (others []store.Process, own int) {
	tags := map[string]bool{"": true}
	for i := range living {
		if p := &living[i]; ReleaseOf(p) == release && !p.Lapsed {
			own++
			tags[p.Tag] = true
		}
	}
	for _, p := range living {
		is := ReleaseOf(&p)
		if is != "" && is != release && (tags[p.Tag] || p.Release == "") {
			others = append(others, p)
		}
	}
	return others, own
}

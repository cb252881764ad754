package rescue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

var now = time.Unix(1795289600, 0).UTC()

// crash is an earlier crash of a job, in a process of its own.
type crash struct {
	ago   time.Duration
	cause string // "": crash
	alone bool
	gone  bool // its stop report is
}

func (c crash) process() store.Identity { return store.Identity(fmt.Sprint("p", c.ago, ":1:x")) }

func (c crash) event() wire.Event {
	return wire.Event{At: now.Add(-c.ago), What: "rescued", Cause: cmp.Or(c.cause, "crash"), Note: string(c.process()), Alone: c.alone}
}

// report is what was reported of its process.
func (c crash) report(jid string) store.StopReport {
	return store.StopReport{ID: c.process(), By: "r:1:x", Ended: now.Add(-c.ago), Jobs: []store.Fate{{JID: jid}}}
}

// held makes a job that a lost process held.
func held(jid string, h wire.History) store.Held {
	job, err := wire.Parse(fmt.Appendf(nil, `{"class":"K","args":[1],"jid":%q,"retry_count":2,"error_message":"boom"}`, jid))
	if err != nil {
		panic(err)
	}
	return store.Held{Queue: "q", Token: store.Token(jid), Payload: job.WithHistory(h)}
}

// reports yields them newest first, and counts how many were asked for.
func reports(list []store.StopReport, read *int) func(context.Context) iter.Seq2[store.StopReport, error] {
	slices.SortStableFunc(list, func(a, b store.StopReport) int { return b.Ended.Compare(a.Ended) })
	return func(context.Context) iter.Seq2[store.StopReport, error] {
		return func(yield func(store.StopReport, error) bool) {
			for _, r := range list {
				if *read++; !yield(r, nil) {
					return
				}
			}
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	// Two crashes, and a third one as the only suspect.
	twice := []crash{{ago: time.Hour + 10*time.Second}, {ago: time.Hour}}
	lone := append(slices.Clone(twice), crash{ago: 50 * time.Minute, alone: true})
	proven := append(slices.Clone(lone), crash{ago: 40 * time.Minute, alone: true})
	other := func(ago time.Duration, change ...func(*store.StopReport)) []store.StopReport {
		r := store.StopReport{ID: "other:1:x", By: "r:1:x", Ended: now.Add(-ago), Jobs: []store.Fate{{JID: "another"}}}
		for _, c := range change {
			c(&r)
		}
		return []store.StopReport{r}
	}
	suspect := held("beside", wire.History{Suspect: true})
	settled := held("beside", wire.History{Suspect: true, Settled: true})
	for name, tt := range map[string]struct {
		crashes []crash
		suspect bool // what the payload says
		settled bool
		beside  []store.Held
		reports []store.StopReport // beside those of the crashes
		lost    []store.Lost       // at the same time
		poison  int
		diedOf  string
		state   string
		cause   store.Cause
		more    bool

		fate   string        // "": rescued
		event  string        // "": crash
		alone  bool          // what the event says
		marked bool          // as suspect
		blamed bool          // the process
		delay  time.Duration // at least
	}{
		"the first crash":                   {},
		"the second":                        {crashes: []crash{{ago: time.Minute}}, fate: "delayed", marked: true, delay: 5 * time.Second},
		"the second, a day later":           {crashes: []crash{{ago: day}}, fate: "delayed", marked: true, delay: 5 * time.Second},
		"the second, too late":              {crashes: []crash{{ago: 3*day + time.Second}}},
		"one whose stop report is gone":     {crashes: []crash{{ago: day, gone: true}}},
		"the third":                         {crashes: twice, fate: "delayed", marked: true, delay: 15 * time.Second},
		"the fourth":                        {crashes: lone, fate: "delayed", marked: true, delay: time.Minute},
		"the fifth":                         {crashes: proven, poison: 10, fate: "delayed", marked: true, delay: 3 * time.Minute},
		"told to stop before":               {crashes: []crash{{ago: time.Minute, cause: "deploy"}, {ago: time.Second, cause: "deploy"}}},
		"while it drained":                  {crashes: proven, suspect: true, state: "draining", event: "deploy", marked: true},
		"while it was quiet":                {crashes: proven, suspect: true, state: "quiet", event: "deploy", marked: true},
		"left":                              {crashes: proven, suspect: true, cause: store.Left, event: "deploy", marked: true},
		"held by nobody":                    {crashes: proven, suspect: true, cause: store.Unclaimed, event: "nobody held it", marked: true},
		"the only suspect":                  {crashes: twice, suspect: true, fate: "delayed", alone: true, marked: true, delay: 15 * time.Second},
		"not suspect when it began":         {crashes: proven, fate: "delayed", marked: true, delay: 3 * time.Minute},
		"beside a suspect":                  {crashes: proven, suspect: true, beside: []store.Held{suspect}, fate: "delayed", marked: true, delay: 3 * time.Minute},
		"beside one that had settled":       {crashes: proven, suspect: true, beside: []store.Held{settled}, fate: "buried", alone: true},
		"settled, beside a suspect":         {crashes: proven, suspect: true, settled: true, beside: []store.Held{suspect}, fate: "delayed", marked: true, delay: 3 * time.Minute},
		"settled, alone":                    {crashes: proven, suspect: true, settled: true, fate: "buried", alone: true},
		"settled, beside another":           {crashes: proven, suspect: true, settled: true, beside: []store.Held{settled}, fate: "delayed", marked: true, delay: 3 * time.Minute},
		"not all is known of what was held": {crashes: proven, suspect: true, more: true, fate: "delayed", marked: true, delay: 3 * time.Minute},
		"a part of it was rescued before": {crashes: proven, suspect: true, reports: other(time.Second, func(r *store.StopReport) { r.ID, r.Jobs = "lost:1:x", nil }),
			fate: "delayed", marked: true, delay: 3 * time.Minute},
		"twice alone":          {crashes: lone, suspect: true, fate: "delayed", alone: true, marked: true, delay: time.Minute},
		"three times alone":    {crashes: proven, suspect: true, fate: "buried", alone: true},
		"never to be buried":   {crashes: proven, suspect: true, poison: -1, fate: "delayed", alone: true, marked: true, delay: 3 * time.Minute},
		"buried by the first":  {crashes: twice, suspect: true, poison: 1, fate: "buried", alone: true},
		"suspect for too long": {crashes: []crash{{ago: 4 * day}, {ago: 4*day - time.Minute}}, suspect: true},
		"suspect only by what is recent and explained": {crashes: []crash{{ago: 3 * time.Minute, cause: "wave"}, {ago: time.Minute, cause: "wave"}}, suspect: true, poison: 1,
			fate: "delayed", marked: true, blamed: false, delay: 15 * time.Second},

		"in a wave":                     {reports: other(time.Minute), event: "wave"},
		"in a wave, with others lost":   {lost: []store.Lost{{ID: "other:1:x", Now: now}}, event: "wave"},
		"in a wave after another crash": {crashes: []crash{{ago: time.Minute}}, reports: other(time.Second), fate: "delayed", event: "wave", marked: true, delay: 5 * time.Second},
		"in a wave, after proof":        {crashes: proven, suspect: true, reports: other(time.Second), fate: "delayed", event: "wave", alone: true, marked: true, delay: 3 * time.Minute},
		"too long after a wave":         {reports: other(61 * time.Second)},
		"others of another release":     {reports: other(time.Second, func(r *store.StopReport) { r.Release = "v2" })},
		"others that left":              {reports: other(time.Second, func(r *store.StopReport) { r.By = "" })},
		"others that drained":           {reports: other(time.Second, func(r *store.StopReport) { r.Reason = "vanished while draining" }), event: "wave"},
		"others that are blamed":        {reports: other(time.Second, func(r *store.StopReport) { r.Blamed = true })},
		"others with the same job":      {reports: other(time.Second, func(r *store.StopReport) { r.Jobs = []store.Fate{{JID: "job"}} })},
		"jobs that nobody held":         {lost: []store.Lost{{ID: "other:1:x", Now: now, Cause: store.Unclaimed}}},
		"in a chain": {reports: append(other(50*time.Second, func(r *store.StopReport) { r.ID, r.Jobs = "first:1:x", []store.Fate{{JID: "job"}} }),
			other(100*time.Second)...), event: "wave"},
		"a wave that came after a crash": {crashes: []crash{{ago: day}}, reports: other(day - 50*time.Second)},
		"a wave for each crash alone": {crashes: proven, suspect: true, reports: append(other(50*time.Minute+time.Second), other(40*time.Minute-time.Second)...),
			fate: "delayed", alone: true, marked: true, delay: 15 * time.Second},
		"an old crash, and ends that are blamed": {crashes: []crash{{ago: day}}, reports: other(day, func(r *store.StopReport) { r.Blamed = true })},

		"died for want of memory":               {diedOf: "oom", event: "oom", blamed: true},
		"died for want of memory, again":        {crashes: twice[:1], diedOf: "oom", event: "oom", fate: "delayed", marked: true, blamed: true, delay: 5 * time.Second},
		"died for want of memory, alone":        {crashes: twice, suspect: true, diedOf: "oom", event: "oom", fate: "buried", alone: true, blamed: true},
		"the same in a wave":                    {crashes: twice, suspect: true, reports: other(time.Second), diedOf: "oom", event: "oom", fate: "buried", alone: true, blamed: true},
		"the same, never to be buried":          {crashes: twice, suspect: true, poison: -1, diedOf: "oom", event: "oom", fate: "delayed", marked: true, alone: true, blamed: true, delay: 15 * time.Second},
		"the same beside a suspect":             {crashes: twice, suspect: true, beside: []store.Held{suspect}, diedOf: "oom", event: "oom", fate: "delayed", marked: true, blamed: true, delay: 15 * time.Second},
		"died of a fault, alone":                {crashes: twice, suspect: true, diedOf: "segv", event: "SIGSEGV", fate: "buried", alone: true, blamed: true},
		"was killed, alone":                     {crashes: twice, suspect: true, diedOf: "SIGKILL", fate: "delayed", marked: true, alone: true, delay: 15 * time.Second},
		"exited, alone":                         {crashes: twice, suspect: true, diedOf: "exit:1", event: "exit 1", fate: "delayed", marked: true, alone: true, delay: 15 * time.Second},
		"exited, for the third time alone":      {crashes: proven, suspect: true, diedOf: "exit:1", event: "exit 1", fate: "buried", alone: true},
		"died of a TERM, after proof":           {crashes: proven, suspect: true, diedOf: "SIGTERM", event: "deploy", marked: true},
		"died of a fault while it drained":      {crashes: proven, suspect: true, diedOf: "SIGSEGV", state: "draining", event: "deploy", marked: true},
		"blamed, as it had just been let run":   {crashes: []crash{{ago: 2 * time.Minute}, {ago: 30 * time.Second}}, suspect: true, fate: "delayed", alone: true, marked: true, blamed: true, delay: 15 * time.Second},
		"not blamed, as it had run for a while": {crashes: []crash{{ago: 3 * time.Minute}, {ago: 2 * time.Minute}}, suspect: true, fate: "delayed", alone: true, marked: true, delay: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			history := wire.History{Suspect: tt.suspect, Settled: tt.settled}
			list := tt.reports
			for _, c := range tt.crashes {
				history.Add(c.event())
				if !c.gone {
					list = append(list, c.report("job"))
				}
			}
			gone := store.Lost{ID: "lost:1:x", Cause: cmp.Or(tt.cause, store.Lapsed), Now: now, More: tt.more, Last: store.Presence{State: cmp.Or(tt.state, "running")}}
			gone.Jobs = append([]store.Held{held("job", history)}, tt.beside...)
			j := Judge{By: "by:1:x", Poison: tt.poison}
			if tt.diedOf != "" {
				d, err := ParseDeath(tt.diedOf)
				if err != nil {
					t.Fatal(err)
				}
				j.Deaths = map[store.Identity]Death{gone.ID: d}
			}
			if err := j.Read(t.Context(), reports(list, new(int)), append([]store.Lost{gone}, tt.lost...)); err != nil {
				t.Fatal(err)
			}
			s := j.Salvage(gone)

			got, fate := s.Jobs[0], s.Report.Jobs[0]
			job, err := wire.Parse(got.Payload)
			if err != nil {
				t.Fatal(err)
			}
			events := job.History.Events
			if fate.Fate == "buried" {
				events = events[:len(events)-1]
			}
			event := events[len(events)-1]
			want := wire.Event{At: now, What: "rescued", Cause: cmp.Or(tt.event, "crash"), By: "by:1:x", Note: "lost:1:x", Alone: tt.alone}
			if diff := gocmp.Diff(want, event); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			to := map[string]store.Place{"": store.Ready, "delayed": store.Scheduled, "buried": store.Dead}[tt.fate]
			if fate.Fate != cmp.Or(tt.fate, "rescued") || got.To != to || job.History.Suspect != tt.marked || job.History.Settled {
				t.Errorf("%s, goes to %v, suspect: %t: %s", fate.Fate, got.To, job.History.Suspect, fate.Note)
			}
			if got.Delay < tt.delay || got.Delay > tt.delay+tt.delay/2 {
				t.Errorf("delay is %v, want %v or up to half as long again", got.Delay, tt.delay)
			}
			if s.Report.Blamed != tt.blamed {
				t.Errorf("blamed: %t", s.Report.Blamed)
			}
			if crash := event.Cause != "deploy" && event.Cause != "wave" && event.Cause != "nobody held it"; (job.History.Crashes == 1) != crash || job.History.Interruptions != 1 {
				t.Errorf("%d crashes of %d interruptions", job.History.Crashes, job.History.Interruptions)
			}
			if job.Count != 2 {
				t.Errorf("billed: retry_count is %d", job.Count)
			}
		})
	}
}

// Suspects that were in one process wait for different times, so as not to be in the
// next one together.
func TestSuspectsPart(t *testing.T) {
	t.Parallel()
	c := crash{ago: time.Minute}
	h := wire.History{}
	h.Add(c.event())
	gone := store.Lost{ID: "lost:1:x", Cause: store.Lapsed, Now: now, Jobs: []store.Held{held("a", h), held("b", h)}}
	const pause = 5 * time.Second
	chances := []int64{0, int64(pause / 2)}
	j := Judge{By: "by:1:x", chance: func(n int64) int64 {
		chance := chances[0]
		chances = chances[1:]
		return min(chance, n-1)
	}}
	if err := j.Read(t.Context(), reports([]store.StopReport{c.report("a")}, new(int)), []store.Lost{gone}); err != nil {
		t.Fatal(err)
	}
	jobs := j.Salvage(gone).Jobs
	if jobs[0].Delay != pause || jobs[1].Delay != pause+pause/2 {
		t.Errorf("they wait for %v and %v", jobs[0].Delay, jobs[1].Delay)
	}
}

func TestABuriedJobTellsItsStory(t *testing.T) {
	t.Parallel()
	h := wire.History{Suspect: true, Checkpoint: []byte(`7`)}
	var list []store.StopReport
	for _, c := range []crash{{ago: 4 * time.Hour}, {ago: 3 * time.Hour}, {ago: 2 * time.Hour, alone: true}, {ago: time.Hour, alone: true}} {
		h.Add(c.event())
		list = append(list, c.report("job"))
	}
	gone := store.Lost{ID: "lost:1:x", Cause: store.Lapsed, Now: now, Last: store.Presence{State: "running", Release: ""}, Jobs: []store.Held{held("job", h)}}
	j := Judge{By: "by:1:x"}
	if err := j.Read(t.Context(), reports(list, new(int)), []store.Lost{gone}); err != nil {
		t.Fatal(err)
	}
	s := j.Salvage(gone)
	const story = "its process vanished: the 5th in 72 h, and the 3rd with no other suspect in it"
	job, err := wire.Parse(s.Jobs[0].Payload)
	if err != nil || job.ErrorClass != "poison" || job.ErrorMessage != story || s.Report.Jobs[0].Note != story || string(job.History.Checkpoint) != "7" {
		t.Errorf("%v, the report says %q, and the job is %s", err, s.Report.Jobs[0].Note, job.Payload())
	}
	last := job.History.Events[len(job.History.Events)-1]
	if want := (wire.Event{At: now, What: "buried", Cause: "poison", By: "by:1:x", Note: story}); !gocmp.Equal(want, last) {
		t.Errorf("the last event is %+v", last)
	}

	// Whoever brings it back has decided: it starts anew.
	later := now.Add(time.Minute)
	again := store.Lost{ID: "lost:2:x", Cause: store.Lapsed, Now: later, Last: gone.Last, Jobs: []store.Held{{Queue: "q", Payload: s.Jobs[0].Payload}}}
	if err := j.Read(t.Context(), reports(append(list, *s.Report), new(int)), []store.Lost{again}); err != nil {
		t.Fatal(err)
	}
	if fate := j.Salvage(again).Report.Jobs[0]; fate.Fate != "rescued" || !strings.HasSuffix(fate.Note, "for the first time in 72 h") {
		t.Errorf("after it was brought back: %+v", fate)
	}
}

func TestStopReportsAreReadAsFarAsMatters(t *testing.T) {
	t.Parallel()
	var list []store.StopReport
	for i := range 100 {
		list = append(list, store.StopReport{ID: store.Identity(fmt.Sprint("p:", i, ":x")), By: "r:1:x", Ended: now.Add(-time.Duration(i) * time.Hour)})
	}
	lost := func(state string, h wire.History) store.Lost {
		return store.Lost{ID: "lost:1:x", Now: now, Last: store.Presence{State: state}, Jobs: []store.Held{held("job", h)}}
	}
	old := wire.History{Events: []wire.Event{crash{ago: 5*time.Hour + time.Minute}.event()}}
	for name, tt := range map[string]struct {
		lost []store.Lost
		want int
	}{
		"nothing lost":           {nil, 0},
		"a deploy":               {[]store.Lost{lost("draining", old)}, 0},
		"a process without jobs": {[]store.Lost{{ID: "lost:1:x", Now: now}}, 0},
		"a first crash":          {[]store.Lost{lost("running", wire.History{})}, 2},
		"a second crash":         {[]store.Lost{lost("running", old)}, 7},
		"both":                   {[]store.Lost{lost("running", old), lost("draining", old), lost("running", wire.History{})}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, n := Judge{}, 0
			if err := j.Read(t.Context(), reports(slices.Clone(list), &n), tt.lost); err != nil || n != tt.want {
				t.Errorf("read %d reports, want %d: %v", n, tt.want, err)
			}
		})
	}
}

// Without the stop reports nothing is buried, and all goes back.
func TestJudgeWithoutStopReports(t *testing.T) {
	t.Parallel()
	h := wire.History{Suspect: true}
	var some []store.StopReport
	for _, c := range []crash{{ago: 4 * time.Hour}, {ago: 3 * time.Hour}, {ago: time.Hour, alone: true}, {ago: 5 * time.Minute, alone: true}} {
		h.Add(c.event())
		some = append(some, c.report("job"))
	}
	gone := store.Lost{ID: "lost:1:x", Now: now, Last: store.Presence{State: "running"}, Jobs: []store.Held{held("job", h), {Token: "x", Queue: "q", Payload: []byte(`not json`)}}}
	j := Judge{Poison: 1, Deaths: map[store.Identity]Death{gone.ID: {cause: causeMemory, fatal: true}}}
	broken := errors.New("broken")
	err := j.Read(t.Context(), func(context.Context) iter.Seq2[store.StopReport, error] {
		return func(yield func(store.StopReport, error) bool) {
			for _, r := range slices.Backward(some) {
				yield(r, nil)
			}
			yield(store.StopReport{}, broken)
		}
	}, []store.Lost{gone})
	if !errors.Is(err, broken) {
		t.Errorf("reading returned %v", err)
	}
	s := j.Salvage(gone)
	if fate := s.Report.Jobs[0]; fate.Fate != "delayed" {
		t.Errorf("%+v", fate)
	}
	if s.Jobs[1].To != store.Ready || s.Jobs[1].Payload != nil {
		t.Errorf("what cannot be read: %+v", s.Jobs[1])
	}
}

func TestParseDeath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"oom": "oom fatal", "SIGSEGV": "SIGSEGV fatal", "abrt": "SIGABRT fatal", "BUS": "SIGBUS fatal", "SIGTERM": "deploy wanted", "int": "deploy wanted",
		"KILL": "crash", "SIGKILL": "crash", "exit:0": "exit 0", "exit:255": "exit 255",
		"": "-", "exit:": "-", "exit:256": "-", "exit:-1": "-", "exit:x": "-", "SIGNONE": "-", "memory": "-", "SIG": "-",
	} {
		d, err := ParseDeath(text)
		got := d.cause
		if d.fatal {
			got += " fatal"
		}
		if d.wanted {
			got += " wanted"
		}
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
		if err != nil && store.Hint(err) == "" {
			t.Errorf("%q: no hint in %v", text, err)
		}
	}
}

package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

var epoch = time.Date(2026, 11, 21, 14, 2, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// stopped is a report of a process that drained from one second to another, with these
// fates, at 120 s of grace.
func stopped(id, release string, from, to float64, fates ...string) store.StopReport {
	r := store.StopReport{
		ID: store.Identity(id), Release: release, Reason: "SIGTERM", Began: at(from), Ended: at(to), Grace: 2 * time.Minute,
		Phases: []store.Phase{{Name: "draining", Took: time.Duration((to - from) * float64(time.Second)), InFlight: len(fates)}},
	}
	for i, f := range fates {
		r.Jobs = append(r.Jobs, store.Fate{JID: id + string(rune('a'+i)), Kind: "ReportJob", Fate: f})
	}
	return r
}

func vanished(id, release string, heard, found float64, fates ...string) store.StopReport {
	r := stopped(id, release, heard, found, fates...)
	r.Reason, r.Began, r.Heard, r.Phases, r.By = Vanished, time.Time{}, at(heard), nil, "host-9:9:0123456789ab"
	return r
}

func running(id, release string, started float64) store.Process {
	return store.Process{Presence: store.Presence{ID: store.Identity(id), Release: release, Started: at(started), State: "running",
		Turns: []store.Turn{{State: "running", At: at(started)}}}, Lang: "go", Beat: at(100)}
}

func draining(id, release string, from float64, busy int) store.Process {
	p := running(id, release, -3600)
	p.State, p.Grace, p.KillAt = "draining", 2*time.Minute, at(from+120)
	p.Turns = append(p.Turns, store.Turn{State: "draining", At: at(from)})
	p.Busy = make([]store.Run, busy)
	return p
}

func lapsed(p store.Process, beat float64) store.Process {
	p.Lapsed, p.Beat = true, at(beat)
	return p
}

func ruby(id, tag, state string) store.Process {
	return store.Process{Presence: store.Presence{ID: store.Identity(id), Tag: tag, State: state, Started: at(-3600)}, Lang: "ruby", Beat: at(99)}
}

func TestRollouts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stops  []store.StopReport
		living []store.Process
		marks  []store.Mark
		now    float64
		want   []string // title, phase, sentence
	}{
		"nothing": {want: nil},
		"one that runs has not left": {
			living: []store.Process{running("h:1:a", "v1", 0)}, want: nil,
		},
		"a rollout that is over": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 89, "finished", "handed back"), stopped("h:2:b", "v142", 5, 11, "finished")},
			living: []store.Process{running("h:3:c", "v143", -20)}, now: 200,
			want: []string{"v142 → v143 | over | v143 is alone. 2 stopped, 3 jobs touched, 0 lost, longest stop 89 s of 120."},
		},
		"one process at a time": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 100), stopped("h:2:b", "v142", 130, 240), stopped("h:3:c", "v142", 290, 300)},
			living: []store.Process{running("h:4:d", "v143", 20)}, now: 400,
			want: []string{"v142 → v143 | over | v143 is alone. 3 stopped, 0 jobs touched, 0 lost, longest stop 110 s of 120."},
		},
		"minutes between two steps": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 10, "finished"), stopped("h:2:b", "v142", 5, 12), stopped("h:3:c", "v142", 312, 320, "rescued")},
			living: []store.Process{running("h:4:d", "v143", -5)}, now: 1000,
			want: []string{"v142 → v143 | over | v143 is alone. 3 stopped, 2 jobs touched, 0 lost, longest stop 10 s of 120."},
		},
		"too long between two steps": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 10), stopped("h:2:b", "v142", 615, 620)},
			living: []store.Process{running("h:4:d", "v143", -5)}, now: 2000,
			want: []string{
				"v142 → v143 | over | v143 is alone. 1 stopped, 0 jobs touched, 0 lost, longest stop 5 s of 120.",
				"v142 → v143 | over | v143 is alone. 1 stopped, 0 jobs touched, 0 lost, longest stop 10 s of 120.",
			},
		},
		"under way": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 20, "finished")},
			living: []store.Process{draining("h:2:b", "v142", 8, 6), draining("h:3:c", "v142", 12, 2), running("h:4:d", "v143", -5)}, now: 50,
			want: []string{"v142 → v143 | draining | 2 draining, 8 jobs left, 01:18 to the first deadline, 0 lost"},
		},
		"between two": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 20)},
			living: []store.Process{running("h:2:b", "v142", -3600), running("h:4:d", "v143", -5)}, now: 60,
			want: []string{"v142 → v143 | between | 1 of v142 still to go, 0 lost"},
		},
		"halted half way": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 20)},
			living: []store.Process{running("h:2:b", "v142", -3600), running("h:4:d", "v143", -5)}, now: 3600,
			want: []string{"v142 → v143 | over | 1 of v142 go on beside v143. 1 stopped, 0 jobs touched, 0 lost, longest stop 20 s of 120."},
		},
		"the new ones are gone, and marked": {
			stops: []store.StopReport{stopped("h:1:a", "v142", 0, 20)},
			marks: []store.Mark{{At: at(-9000), Release: "v142"}, {At: at(3), Release: "v143"}}, now: 3600,
			want: []string{"v142 → v143 | over | v142 is gone. 1 stopped, 0 jobs touched, 0 lost, longest stop 20 s of 120."},
		},
		"a canary came the day before": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 20)},
			living: []store.Process{running("h:4:d", "v143", -86400)},
			marks:  []store.Mark{{At: at(-190000), Release: "v142"}, {At: at(-86400), Release: "v143"}}, now: 3600,
			want: []string{"v142 → v143 | over | v143 is alone. 1 stopped, 0 jobs touched, 0 lost, longest stop 20 s of 120."},
		},
		"two deploys at once follow each other": {
			stops:  []store.StopReport{stopped("h:1:a", "v1", 0, 2), stopped("h:2:b", "v2", 300, 302)},
			living: []store.Process{running("h:3:c", "v3", 298)},
			marks:  []store.Mark{{At: at(-5), Release: "v2"}, {At: at(298), Release: "v3"}}, now: 400,
			want: []string{
				"v2 → v3 | over | v3 is alone. 1 stopped, 0 jobs touched, 0 lost, longest stop 2 s of 120.",
				"v1 → v2 | over | v1 is gone. 1 stopped, 0 jobs touched, 0 lost, longest stop 2 s of 120.",
			},
		},
		"too many": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 3, "finished"), stopped("h:2:b", "v142", 2, 4)},
			living: []store.Process{running("h:3:c", "v142", -3600)}, now: 3600,
			want: []string{"v142 scale-in | over | 2 of v142 stopped, 1 job touched, 0 lost, longest stop 3 s of 120."},
		},
		"an hour lies between": {
			stops:  []store.StopReport{stopped("h:1:a", "v142", 0, 3), stopped("h:2:b", "v142", 3600, 3604)},
			living: []store.Process{running("h:3:c", "v142", -3600)}, now: 8000,
			want: []string{
				"v142 scale-in | over | h:2 stopped, 0 jobs touched, 0 lost, longest stop 4 s of 120.",
				"v142 scale-in | over | h:1 stopped, 0 jobs touched, 0 lost, longest stop 3 s of 120.",
			},
		},
		"restarted": {
			stops: []store.StopReport{stopped("h:1:a", "v142", 0, 3)}, living: []store.Process{running("h:2:c", "v142", 5)}, now: 3600,
			want: []string{"v142 restart | over | h:1 stopped, 0 jobs touched, 0 lost, longest stop 3 s of 120."},
		},
		"vanished": {
			stops: []store.StopReport{vanished("h:1:a", "v142", 0, 1.4, "rescued", "rescued")}, living: []store.Process{running("h:2:c", "v142", -50)}, now: 3600,
			want: []string{"v142 vanished | over | h:1 vanished, 2 jobs touched, 0 lost."},
		},
		"vanished, and nobody has seen to it": {
			living: []store.Process{lapsed(running("h:1:a", "v142", -50), 0)}, now: 10,
			want: []string{"v142 vanished | quiet | 1 lapsed, 0 jobs left, 0 lost"},
		},
		"a job is lost": {
			stops: []store.StopReport{func() store.StopReport {
				r := stopped("h:1:a", "v142", 0, 3, "finished")
				r.Phases[0].InFlight = 3
				return r
			}()}, now: 3600,
			want: []string{"v142 stop | over | h:1 stopped, 1 job touched, 2 lost, longest stop 3 s of 120."},
		},
		"no release is known": {
			stops: []store.StopReport{stopped("h:1:a", "", 0, 3)}, living: []store.Process{running("h:2:c", "v9", 0)}, now: 3600,
			want: []string{"stop | over | h:1 stopped, 0 jobs touched, 0 lost, longest stop 3 s of 120."},
		},
		"Ruby, whose tag is a version": {
			living: []store.Process{ruby("h:1:a", "shop-7", "quiet"), func() store.Process { p := ruby("h:2:b", "shop-8", "running"); p.Started = at(60); return p }()}, now: 100,
			want: []string{"shop-7 → shop-8 | quiet | 1 quiet, 0 jobs left, 0 lost"},
		},
		"Ruby, whose tag is a name": {
			living: []store.Process{ruby("h:1:a", "shop", "quiet"), func() store.Process { p := ruby("h:2:b", "admin", "running"); p.Started = at(60); return p }()}, now: 100,
			want: []string{"shop stop | quiet | 1 quiet, 0 jobs left, 0 lost"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := at(c.now)
			var got []string
			for _, r := range Rollouts(c.stops, c.living, c.marks, now) {
				got = append(got, r.Title()+" | "+r.Phase()+" | "+r.Sentence(now))
				touched := r.StillRunning
				for _, f := range r.Fates.Each() {
					touched += f.N
				}
				if touched != r.Touched {
					t.Errorf("%s touched %d, and its fates add up to %d", r.Title(), r.Touched, touched)
				}
				if strings.ContainsFunc(r.ID, func(c rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzTv0123456789-._", c) }) {
					t.Errorf("%q does not fit a URL", r.ID)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRolloutKeepsItsID follows one from the first notice to the last goodbye.
func TestRolloutKeepsItsID(t *testing.T) {
	t.Parallel()
	next := running("h:9:z", "v143", -1)
	first := draining("h:1:a", "v142", 58, 3)
	looks := map[string][]Rollout{
		"one drains":       Rollouts(nil, []store.Process{first, running("h:2:b", "v142", -3600), next}, nil, at(60)),
		"both do":          Rollouts(nil, []store.Process{first, draining("h:2:b", "v142", 70, 1), next}, nil, at(80)),
		"the first lapsed": Rollouts(nil, []store.Process{lapsed(first, 70), draining("h:2:b", "v142", 70, 1), next}, nil, at(90)),
		"it was rescued":   Rollouts([]store.StopReport{vanished("h:1:a", "v142", 75, 95, "rescued")}, []store.Process{draining("h:2:b", "v142", 70, 1), next}, nil, at(100)),
		"over": Rollouts([]store.StopReport{vanished("h:1:a", "v142", 75, 95, "rescued"), stopped("h:2:b", "v142", 70, 110, "finished")},
			[]store.Process{next}, nil, at(200)),
	}
	for name, all := range looks {
		if len(all) != 1 {
			t.Fatalf("%s: %d rollouts", name, len(all))
		}
		if r := FindRollout(all, "v142-20261121T1402"); r == nil {
			t.Errorf("%s: it is called %s", name, all[0].ID)
		}
	}
	if r := FindRollout(looks["over"], "v142-20261121T1302"); r != nil {
		t.Errorf("an ID of an hour before found %s", r.ID)
	}
	if r := FindRollout(looks["over"], "v143-20261121T1402"); r != nil {
		t.Errorf("an ID of another release found %s", r.ID)
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	quick := func(n int) (stops []store.StopReport) {
		for i := range n {
			stops = append(stops, stopped("h:"+string(rune('A'+i%26))+":"+string(rune('A'+i/26)), "v1", float64(i), float64(i)+2))
		}
		return stops
	}
	slow := stopped("h:1:slow", "v1", 0, 115, "deaf", "finished")
	for name, c := range map[string]struct {
		stops []store.StopReport
		want  string
	}{
		"no stops":        {nil, ""},
		"all are quick":   {quick(10), ""},
		"one of few":      {append(quick(10), slow), "the slowest stop used 96 % of its grace: raise it or checkpoint ReportJob"},
		"one of many":     {append(quick(99), slow), "the slowest 1 % of stops used 96 % of their grace: raise it or checkpoint ReportJob"},
		"fewer than 1 %":  {append(quick(150), slow), ""},
		"nobody was told": {[]store.StopReport{vanished("h:1:a", "v1", 0, 900, "rescued")}, ""},
		"it had no jobs":  {[]store.StopReport{stopped("h:1:a", "v1", 0, 110)}, "the slowest stop used 92 % of its grace: raise it"},
	} {
		if got := Advice(Rollouts(c.stops, nil, nil, at(9999))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	quietFirst := stopped("h:1:a", "v1", 60, 80)
	quietFirst.Began = at(0)
	quietFirst.Phases = []store.Phase{{Name: "quiet", Took: time.Minute}, {Name: "draining", Took: 19 * time.Second}, {Name: "leave", Took: time.Second}}
	gone := NewStop(vanished("h:1:a", "v1", 5, 9))
	told := NewStop(quietFirst)
	frozen := running("h:1:a", "v1", -5)
	frozen.Frozen, frozen.Beat = true, at(10)
	live := draining("h:1:a", "v1", 10, 3)
	dead, old := lapsed(live, 30), ruby("h:1:a", "shop", "quiet")
	for name, c := range map[string]struct {
		line Line
		want []string
		kill float64 // 0: none
		end  string
	}{
		"stopped": {told.Line(), []string{"running -10 0", "quiet 0 60", "draining 60 80"}, 180, Stopped},
		"vanished": {gone.Line(),
			[]string{"running 3 5"}, 0, Vanished},
		"draining":              {LineOf(&live, at(40)), []string{"running -3600 10", "draining 10 40", "reserve 120 130"}, 130, ""},
		"draining, in reserve":  {LineOf(&live, at(125)), []string{"running -3600 10", "draining 10 125", "reserve 125 130"}, 130, ""},
		"past its hour":         {LineOf(&live, at(140)), []string{"running -3600 10", "draining 10 140"}, 130, ""},
		"lapsed":                {LineOf(&dead, at(40)), []string{"running -3600 10", "draining 10 30"}, 130, Vanished},
		"frozen":                {LineOf(&frozen, at(40)), []string{"running -5 10", "frozen 10 40"}, 0, ""},
		"Ruby tells no turns":   {LineOf(&old, at(40)), []string{"quiet -3600 40"}, 0, ""},
		"its clock runs ahead":  {LineOf(&live, at(0)), []string{"running -3600 10", "draining 10 10", "reserve 120 130"}, 130, ""},
		"a report has no phase": {(&Stop{BeganAt: at(0), EndedAt: at(8), Report: store.StopReport{Began: at(0)}}).Line(), []string{"running -2 8"}, 0, Stopped},
	} {
		var got []string
		for _, p := range c.line.Parts {
			got = append(got, p.State+" "+seconds(p.From.Sub(epoch))+" "+seconds(p.To.Sub(epoch)))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if c.line.End != c.end {
			t.Errorf("%s: it ends %q, want %q", name, c.line.End, c.end)
		}
		if kill := c.line.Kill; kill.IsZero() != (c.kill == 0) || !kill.IsZero() && !kill.Equal(at(c.kill)) {
			t.Errorf("%s: it is killed at %v", name, kill)
		}
		if !slices.IsSortedFunc(c.line.Parts, func(a, b Part) int { return a.From.Compare(b.From) }) {
			t.Errorf("%s: its parts are out of order", name)
		}
	}
	if used, of := told.Used(); used != 20*time.Second || of != 2*time.Minute {
		t.Errorf("it used %v of %v, and being quiet costs nothing", used, of)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"01:18": Clock(78 * time.Second), "1:02:03": Clock(3723 * time.Second), "00:00": Clock(-time.Second),
		"89 s of 120": Of(89*time.Second, 2*time.Minute), "1.4 s of 30": Of(1400*time.Millisecond, 30*time.Second), "12 min of 60 min": Of(12*time.Minute, time.Hour),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

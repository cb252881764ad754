package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// moving is a store that is otherwise at each look, and at last stays as it is.
type moving struct {
	store.Store
	mu       sync.Mutex
	looks    []look1
	n        int // looks taken
	told     []store.Command
	recorded []store.Change
}

type look1 struct {
	processes []store.Process
	stops     []store.StopReport
	err       error
}

func (m *moving) now() look1 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looks[min(max(0, m.n-1), len(m.looks)-1)]
}

func (m *moving) taken() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

func (m *moving) Describe() store.Description {
	return store.Description{Driver: "redis", URL: "redis://ada:secret@cache:6379/0"}
}

// Queues is what a look asks for first.
func (m *moving) Queues(context.Context) ([]store.Queue, error) {
	m.mu.Lock()
	m.n++
	m.mu.Unlock()
	queues := []store.Queue{{Name: "mailers", Waiting: 1204, Held: 2, Oldest: time.Now().Add(-1400 * time.Millisecond)}, {Name: "reports", Paused: true}}
	return queues, m.now().err
}

func (m *moving) Processes(context.Context) ([]store.Process, error) { return m.now().processes, nil }

func (m *moving) Stats(context.Context) (store.Stats, error) {
	n := int64(m.taken())
	return store.Stats{Ready: 1204, Retrying: 3, Dead: 25, Processed: 100 * n, Failed: n}, nil
}

func (m *moving) Stops(context.Context) iter.Seq2[store.StopReport, error] {
	stops := m.now().stops
	return func(yield func(store.StopReport, error) bool) {
		for _, r := range stops {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *moving) Jobs(_ context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if q.Place != store.Retrying {
			return
		}
		yield(store.Entry{Place: store.Retrying, Payload: []byte(`{"class":"InvoiceJob","jid":"0001","args":[],"error_class":"CardError","error_message":"declined 7","failed_at":1767225600}`)}, nil)
	}
}

func (m *moving) Series(context.Context, store.SeriesQuery) ([]store.Point, error) { return nil, nil }

func (m *moving) Marks(context.Context, time.Time) ([]store.Mark, error) { return nil, nil }

func (m *moving) Command(_ context.Context, _ store.Identity, c store.Command) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, c)
	return nil
}

func (m *moving) Record(_ context.Context, c store.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recorded = append(m.recorded, c)
	return nil
}

func (m *moving) Changes(context.Context) iter.Seq2[store.Change, error] {
	return func(func(store.Change, error) bool) {}
}

// deploying is a store in the middle of a rollout.
func deploying() *moving {
	now := time.Now()
	queues := []store.Group{{Name: "default", Concurrency: 20, Queues: []store.Share{{Queue: "mailers"}}}}
	process := func(id, release, state string, busy int) store.Process {
		p := store.Process{Presence: store.Presence{ID: store.Identity(id), Release: release, State: state, Started: now.Add(-time.Hour), RSS: 412 << 20,
			Concurrency: 20, Groups: queues, Turns: []store.Turn{{State: "running", At: now.Add(-time.Hour)}}}, Lang: "go", Beat: now}
		for i := range busy {
			p.Busy = append(p.Busy, store.Run{JID: fmt.Sprintf("0199aa00bb00cc00dd%06d", i), Kind: "ReportJob", Queue: "mailers", Since: now.Add(-time.Minute), Slot: fmt.Sprint(i)})
		}
		if state == "draining" {
			p.Turns = append(p.Turns, store.Turn{State: "quiet", At: now.Add(-60 * time.Second)}, store.Turn{State: "draining", At: now.Add(-42 * time.Second)})
			p.KillAt, p.Grace = now.Add(78*time.Second), 2*time.Minute
		}
		return p
	}
	stop := store.StopReport{ID: "worker-1:7:0123456789ab", Release: "v142", Reason: "SIGTERM", Began: now.Add(-40 * time.Second), Ended: now.Add(-19 * time.Second), Grace: 2 * time.Minute,
		Phases: []store.Phase{{Name: "draining", Took: 21 * time.Second, InFlight: 2}}, Jobs: []store.Fate{{JID: "a", Kind: "ReportJob", Fate: "finished"}, {JID: "b", Kind: "ReportJob", Fate: "checkpointed"}}}
	next := process("worker-6:7:0123456789ab", "v143", "running", 14)
	next.Started = now.Add(-45 * time.Second)
	return &moving{looks: []look1{{
		processes: []store.Process{process("worker-3:7:0123456789ab", "v142", "draining", 6), next},
		stops:     []store.StopReport{stop},
	}}}
}

// watching is a view of a store that was looked at.
func watching(t *testing.T, s store.Store, width, height int, environ ...string) *top {
	t.Helper()
	a := &app{term: console.New(strings.NewReader(""), io.Discard, io.Discard, environ), now: time.Now, opened: s, environ: environ}
	a.term.OutWatched = true
	v := &top{app: a, ctx: t.Context(), store: s, every: time.Second}
	v.Update(tea.WindowSizeMsg{Width: width, Height: height})
	v.Update(v.look(false))
	return v
}

// press sends keys, and what comes of each.
func press(v *top, keys ...string) {
	named := map[string]tea.Key{"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "down": {Code: tea.KeyDown}, "up": {Code: tea.KeyUp}, "end": {Code: tea.KeyEnd}, "backspace": {Code: tea.KeyBackspace}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl}}
	for _, k := range keys {
		key, known := named[k]
		if !known {
			key = tea.Key{Code: []rune(k)[0], Text: k}
		}
		if _, cmd := v.Update(tea.KeyPressMsg(key)); cmd != nil {
			if _, more := v.Update(cmd()); more != nil {
				v.Update(more())
			}
		}
	}
}

func TestTopShows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys []string
		want []string
		none []string
	}{
		"stops": {nil, []string{"1 running", "lost 0", "v142 → v143", "1 draining, 6 jobs left, 01:1", "to the first deadline, 0 lost", "waiting 1,204", "running 20/40", "◒ worker-3:7", "6 jobs left", "01:1", "■ worker-1:7", "1 ✓ 1 ↻ 0 lost", "21 s of 120"},
			[]string{"secret"}},
		"processes":         {[]string{"2"}, []string{"◒ worker-3:7", "draining", "● worker-6:7", "14/20", "mailers"}, nil},
		"queues":            {[]string{"3"}, []string{"mailers", "1,204", "1 process", "paused"}, nil},
		"running":           {[]string{"4"}, []string{"…", "ReportJob", "60 s"}, nil},
		"errors":            {[]string{"5"}, []string{"CardError", "declined #", "1 in retry"}, nil},
		"help":              {[]string{"?"}, []string{"fetches nothing new", "any key goes back"}, []string{"worker-3"}},
		"back from help":    {[]string{"?", "x"}, []string{"worker-3"}, nil},
		"filtered":          {[]string{"/", "w", "o", "r", "k", "e", "r", "-", "1", "enter"}, []string{"worker-1:7", "/worker-1"}, []string{"worker-3"}},
		"nothing like that": {[]string{"/", "y", "y", "enter"}, []string{"nothing here has yy"}, nil},
		"all again":         {[]string{"/", "y", "backspace", "y", "enter", "esc"}, []string{"worker-1:7", "worker-3:7"}, nil},
		"opened stop":       {[]string{"down", "enter"}, []string{"touched", "2 = 1 finished + 1 checkpointed", "ReportJob", "esc back"}, nil},
		"opened process":    {[]string{"enter"}, []string{"state", "draining", "worker-3:7:0123456789ab"}, nil},
		"opened and back":   {[]string{"enter", "esc"}, []string{"worker-1:7"}, nil},
		"opened job":        {[]string{"4", "enter"}, []string{"jid", "0199aa00bb00cc00dd"}, nil},
		"quiet nothing":     {[]string{"3", "q"}, []string{"select a living process to quiet it"}, nil},
		"a stop is over":    {[]string{"down", "s"}, []string{"select a living process to stop it"}, nil},
		"draining already":  {[]string{"s"}, []string{"worker-3:7 is draining already"}, nil},
		"asked, and not":    {[]string{"2", "end", "s", "n"}, []string{"nothing was changed"}, nil},
		"paused":            {[]string{"p"}, []string{"paused", "p go on"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := deploying()
			v := watching(t, s, 120, 30)
			press(v, c.keys...)
			got := ansi.Strip(v.screen())
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("it does not show %q:\n%s", want, got)
				}
			}
			for _, none := range c.none {
				if strings.Contains(got, none) {
					t.Errorf("it shows %q:\n%s", none, got)
				}
			}
			if len(s.told) > 0 {
				t.Errorf("it told %v", s.told)
			}
		})
	}
}

// TestTopFits draws every list in terminals of many sizes.
func TestTopFits(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{nil, {"LC_ALL=C"}} {
		for _, size := range [][2]int{{120, 30}, {80, 24}, {60, 15}, {20, 3}, {1, 1}, {300, 90}} {
			v := watching(t, deploying(), size[0], size[1], environ...)
			for _, key := range []string{"1", "2", "3", "4", "5", "?", "esc", "1", "enter"} {
				press(v, key)
				lines := strings.Split(v.screen(), "\n")
				if len(lines) != size[1] {
					t.Errorf("%v, %s: %d lines", size, key, len(lines))
				}
				for _, line := range lines {
					if lipgloss.Width(line) > size[0] {
						t.Errorf("%v, %s: a line has %d cells: %q", size, key, lipgloss.Width(line), line)
					}
					if environ != nil && strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
						t.Errorf("%v, %s: %q is not ASCII", size, key, line)
					}
				}
			}
		}
	}
}

// TestTopTells: an order is asked for, given once, and kept in the audit trail.
func TestTopTells(t *testing.T) {
	t.Parallel()
	for key, verb := range map[string]store.Verb{"q": store.Quiet, "s": store.Stop} {
		s := deploying()
		v := watching(t, s, 120, 30)
		press(v, "2", "down", key)
		if want := string(verb) + " 1 process: worker-6:7"; !strings.Contains(v.screen(), want) {
			t.Errorf("it does not ask %q:\n%s", want, v.screen())
		}
		if len(s.told) != 0 {
			t.Fatal("it told the process before it was answered")
		}
		press(v, "y")
		if len(s.told) != 1 || s.told[0].Verb != verb {
			t.Errorf("it told %v", s.told)
		}
		if len(s.recorded) != 2 || s.recorded[1].Verb != string(verb) || s.recorded[1].Ended.IsZero() {
			t.Errorf("the audit trail has %+v", s.recorded)
		}
		if got := ansi.Strip(v.screen()); !strings.Contains(got, "takes it with its next beat") {
			t.Errorf("it does not say so:\n%s", got)
		}
	}
}

func TestTopReadOnly(t *testing.T) {
	t.Parallel()
	s := deploying()
	v := watching(t, s, 120, 30, "EBB_READONLY=1")
	press(v, "2", "down", "q", "y", "s", "y")
	if len(s.told)+len(s.recorded) > 0 {
		t.Errorf("it told %v and recorded %v", s.told, s.recorded)
	}
	press(v, "s")
	if got := v.screen(); !strings.Contains(got, "EBB_READONLY is set") {
		t.Errorf("it does not say why:\n%s", got)
	}
}

// TestTopKeepsWhatItSaw: a store that is away leaves the last look there, with its age.
func TestTopKeepsWhatItSaw(t *testing.T) {
	t.Parallel()
	s := deploying()
	v := watching(t, s, 160, 30)
	v.Update(sawMsg{err: errors.New("connection refused")})
	v.app.now = func() time.Time { return time.Now().Add(12 * time.Second) }
	if got := ansi.Strip(v.screen()); !strings.Contains(got, "12 s old: connection refused") || !strings.Contains(got, "worker-3") {
		t.Errorf("it shows\n%s", got)
	}
	v.Update(v.look(false))
	v.app.now = time.Now // as if it had just been seen
	if got := ansi.Strip(v.screen()); strings.Contains(got, "s old:") {
		t.Errorf("it shows\n%s", got)
	}
}

// TestTopPauses: a view that is paused leaves the store alone.
func TestTopPauses(t *testing.T) {
	t.Parallel()
	s := deploying()
	v := watching(t, s, 80, 24)
	looks := s.taken()
	press(v, "p")
	v.Update(tickMsg{})
	press(v, "5")
	if s.taken() != looks || v.reading {
		t.Errorf("it looked while it was paused")
	}
	press(v, "p")
	v.Update(tickMsg{})
	if !v.reading {
		t.Errorf("it does not look again")
	}
	v.Update(tickMsg{})
	if s.taken() != looks {
		t.Errorf("it looks while a look is under way")
	}
}

// TestTopSelects: a row stays selected while others come and go around it.
func TestTopSelects(t *testing.T) {
	t.Parallel()
	s := deploying()
	v := watching(t, s, 120, 30)
	press(v, "2", "down")
	if p := v.selected(); p == nil || p.ID != "worker-6:7:0123456789ab" {
		t.Fatalf("selected %v", p)
	}
	first := s.looks[0].processes
	s.looks = append(s.looks, look1{processes: first[1:]}, look1{processes: first[:1]}, look1{})
	s.n = 1
	for _, want := range []store.Identity{"worker-6:7:0123456789ab", "worker-3:7:0123456789ab", ""} {
		v.Update(v.look(false))
		got := store.Identity("")
		if p := v.selected(); p != nil {
			got = p.ID
		}
		if got != want {
			t.Errorf("selected %q, want %q", got, want)
		}
	}
	press(v, "enter", "up", "down", "end", "q", "s")
}

// terminal stands for one: it counts what it is sent.
type terminal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *terminal) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *terminal) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// live runs the view on a terminal that is none, and returns what ends it.
func live(t *testing.T, s store.Store, every time.Duration, out *terminal) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	environ := []string{"TERM=xterm-256color"}
	a := &app{term: console.New(strings.NewReader(""), out, io.Discard, environ), now: time.Now, opened: s, environ: environ}
	a.term.OutWatched = true
	v := &top{app: a, ctx: ctx, store: s, every: every}
	ended := make(chan error, 1)
	go func() { ended <- v.live(nil, tea.WithWindowSize(120, 30)) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// TestTopIsQuietOnTheLine measures what a look costs a slow line when nothing moves but
// the clock and the counters.
func TestTopIsQuietOnTheLine(t *testing.T) {
	t.Parallel()
	s, out := deploying(), &terminal{}
	end := live(t, s, 100*time.Millisecond, out)
	until(t, func() bool { return s.taken() >= 4 && strings.Contains(out.text(), "worker-3") })
	looks, sent := s.taken(), len(out.text())
	until(t, func() bool { return s.taken() >= looks+20 })
	looks, sent = s.taken()-looks, len(out.text())-sent
	if err := end(); err != nil {
		t.Fatal(err)
	}
	each := sent / looks
	t.Logf("%d bytes a look", each)
	if each >= 2000 {
		t.Errorf("a look sends %d bytes, want fewer than 2,000", each)
	}
	if !strings.Contains(out.text(), ansi.ResetModeAltScreenSaveCursor) {
		t.Error("it did not leave the alternate screen")
	}
}

// TestTopPanics: the terminal is given back also then.
func TestTopPanics(t *testing.T) {
	t.Parallel()
	s, out := &panicking{moving: deploying()}, &terminal{}
	end := live(t, s, 100*time.Millisecond, out)
	until(t, func() bool { return strings.Contains(out.text(), "worker-3") })
	s.now.Store(true)
	until(t, func() bool { return strings.Contains(out.text(), ansi.ResetModeAltScreenSaveCursor) })
	if err := end(); err == nil || !strings.Contains(err.Error(), "this is a bug") {
		t.Errorf("it ended with %v", err)
	}
	if text := out.text(); !strings.Contains(text, ansi.ShowCursor) {
		t.Errorf("the cursor is not shown again: %q", text)
	}
}

type panicking struct {
	*moving
	now atomic.Bool
}

func (p *panicking) Queues(ctx context.Context) ([]store.Queue, error) {
	if p.now.Load() {
		panic("a bug")
	}
	return p.moving.Queues(ctx)
}

func until(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never was so")
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	v := watching(t, deploying(), 120, 30)
	first := *v.seen.pic
	first.Stats.Processed, first.Stats.Failed = 100, 10
	v.rates = rates{}
	v.rates.add(&first)
	if v.rates.known {
		t.Error("it knows a rate after one look")
	}
	second := first
	second.At = first.At.Add(2 * time.Second)
	second.Stats.Processed, second.Stats.Failed = 180, 12
	v.rates.add(&second)
	if v.rates.done != 39 || v.rates.failing != 1 {
		t.Errorf("%v done and %v failed a second", v.rates.done, v.rates.failing)
	}
	reset := second
	reset.At = second.At.Add(time.Second)
	reset.Stats.Processed, reset.Stats.Failed = 5, 0
	v.rates.add(&reset)
	if v.rates.done != 39 {
		t.Errorf("counters that were set back count %v a second", v.rates.done)
	}
	v.seen.pic = &second
	if steps := v.done(10); slices.Max(steps) <= 0 {
		t.Errorf("the steps are %v", steps)
	}
	v.seen.points = []store.Point{{At: store.Moment.Start(second.At).Add(-20 * time.Second), Runs: store.Runs{Ended: 30, Failed: 10}}}
	if steps := v.done(10); steps[7] != 2 {
		t.Errorf("the steps of the store are %v", steps)
	}
	v.seen.pic.Marks = []store.Mark{{At: second.At.Add(-30 * time.Second), Release: "v143"}}
	if got := ansi.Strip(v.spark(30)); !strings.HasSuffix(got, "┆v143") || strings.Count(got, "┆") != 2 {
		t.Errorf("the line is %q", got)
	}
}

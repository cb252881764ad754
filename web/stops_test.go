package web

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

// scene is a store that shows what a test has put on.
type scene struct {
	*memstore.Store
	queues    []store.Queue
	processes []store.Process
	stops     []store.StopReport // the latest first
	marks     []store.Mark
	ended     []store.Ended
	points    []store.Point
	stats     func() store.Stats
	told      map[store.Identity][]store.Verb
	unknown   store.Identity // has left
}

func (s *scene) Queues(context.Context) ([]store.Queue, error)      { return s.queues, nil }
func (s *scene) Processes(context.Context) ([]store.Process, error) { return s.processes, nil }
func (s *scene) Marks(context.Context, time.Time) ([]store.Mark, error) {
	return s.marks, nil
}
func (s *scene) Series(context.Context, store.SeriesQuery) ([]store.Point, error) {
	return s.points, nil
}
func (s *scene) Stats(ctx context.Context) (store.Stats, error) {
	if s.stats != nil {
		return s.stats(), nil
	}
	return s.Store.Stats(ctx)
}
func (s *scene) Stops(context.Context) iter.Seq2[store.StopReport, error] { return each(s.stops) }
func (s *scene) Ended(context.Context, string) iter.Seq2[store.Ended, error] {
	return each(s.ended)
}
func (s *scene) Pause(_ context.Context, name string, paused bool) error {
	i := slices.IndexFunc(s.queues, func(q store.Queue) bool { return q.Name == name })
	s.queues[i].Paused = paused
	return nil
}
func (s *scene) Command(_ context.Context, id store.Identity, c store.Command) error {
	if id == s.unknown {
		return store.ErrUnknownProcess
	}
	s.told[id] = append(s.told[id], c.Verb)
	return nil
}

func each[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// stage returns the pages of a scene.
func stage(t *testing.T, s *scene, opt Options) *UI {
	t.Helper()
	s.Store, s.told = memstore.New(memstore.Options{}), map[store.Identity][]store.Verb{}
	t.Cleanup(func() { s.Store.Close() })
	ui, err := New(ebb.NewClient(s), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ui.Close() })
	return ui
}

// read returns a page that must be there.
func read(t *testing.T, ui *UI, target string) string {
	t.Helper()
	w := ask(ui, "GET", target)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

func wants(t *testing.T, body string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, text(body))
		}
	}
}

func lacks(t *testing.T, body string, all ...string) {
	t.Helper()
	for _, not := range all {
		if strings.Contains(body, not) {
			t.Errorf("there is %q in\n%s", not, text(body))
		}
	}
}

// text is the main part of a page as it is read.
func text(body string) string {
	_, main, found := strings.Cut(body, "<main")
	if !found {
		return body
	}
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString("<main"+main, " ")), " ")
}

// deploy is a scene of v142 being replaced by v143: one has stopped, one vanished, one
// drains, one in Ruby is quiet, and a new one runs.
func deploy() *scene {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	fate := func(jid, fate string) store.Fate {
		return store.Fate{JID: jid, Kind: "ReportJob", Queue: "reports", Fate: fate}
	}
	began := ago(40 * time.Second)
	return &scene{
		processes: []store.Process{
			{Lang: "go", Beat: ago(time.Second), Presence: store.Presence{
				ID: "worker-3:7:c00000000003", Host: "worker-3", Release: "v142", State: "draining", Concurrency: 20, Started: ago(time.Hour),
				Grace: 2 * time.Minute, KillAt: now.Add(78500 * time.Millisecond), Busy: []store.Run{{JID: "run1", Kind: "ReportJob", Queue: "reports", Since: ago(12 * time.Minute), Note: "63 %"}},
				Turns: []store.Turn{{State: "running", At: ago(time.Hour)}, {State: "quiet", At: ago(45 * time.Second)}, {State: "draining", At: ago(41 * time.Second)}},
			}},
			{Lang: "go", Beat: ago(time.Second), Presence: store.Presence{
				ID: "worker-6:7:c00000000006", Host: "worker-6", Release: "v143", State: "running", Concurrency: 20, Started: ago(30 * time.Second),
				Turns: []store.Turn{{State: "running", At: ago(30 * time.Second)}},
			}},
			{Lang: "ruby", Beat: ago(time.Second), Presence: store.Presence{
				ID: "web-1:9:c00000000009", Host: "web-1", Tag: "v142", State: "quiet", Concurrency: 5, Started: ago(time.Hour),
				Busy: []store.Run{{JID: "ruby1", Kind: "HardJob", Queue: "default", Since: ago(time.Minute)}},
			}},
		},
		stops: []store.StopReport{
			{ID: "worker-1:7:c00000000001", Release: "v142", Reason: "SIGTERM", Began: began, Ended: ago(19 * time.Second), Grace: 2 * time.Minute,
				Phases: []store.Phase{{Name: "quiet", Took: 2 * time.Second, InFlight: 4}, {Name: "draining", Took: 19 * time.Second, InFlight: 4}},
				Jobs:   []store.Fate{fate("done1", "finished"), fate("save1", "checkpointed"), fate("back1", "handed back"), {JID: "late1", Kind: "<b>&", Fate: "lost lease"}}},
			{ID: "worker-5:7:c00000000005", Release: "v142", Reason: "vanished", By: "worker-6:7:c00000000006", Cause: store.Lapsed,
				Heard: ago(38 * time.Second), Ended: ago(36600 * time.Millisecond), Jobs: []store.Fate{fate("resc1", "rescued")}, Notes: []string{"no TERM came, as D12 tells", "1 job given back 1.4 s after its last beat by worker-6:7"}},
		},
		marks: []store.Mark{{At: ago(30 * time.Second), Release: "v143"}},
		ended: []store.Ended{{JID: "resc1", By: "worker-6:7:c00000000006", At: ago(3 * time.Second), Outcome: store.Finished}, {JID: "save1", At: ago(time.Hour)}},
	}
}

var oneRollout = regexp.MustCompile(`href="(/stops/v142-[0-9T]+)"`)

func TestStops(t *testing.T) {
	t.Parallel()
	ui := stage(t, deploy(), Options{})
	body := read(t, ui, "/stops")
	said := text(body)
	wants(t, said, "v142 → v143", "1 draining", "0 lost", "vanished")
	found := oneRollout.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no link to the rollout in %s", body)
	}

	body = read(t, ui, found[1])
	said = text(body)
	wants(t, said, "touched = ✓ 1 finished + ↻ 1 checkpointed + ⤺ 1 handed back + ⤹ 1 rescued + ▪ 0 deaf + ? 1 other", "✓ 0 lost",
		"19 s of 120", "gone without a TERM", "given back by worker-6:7 after 1.4 s", "no TERM came", "D12", "01:18 left",
		"will be cut in 01:08", "63 %", "Ruby does not say how its jobs end", "unknown")
	wants(t, body, `role="img" aria-label="running, quiet from`, `data-deadline>`, `class="reserve" fill="url(#reserve)"`, `&lt;b&gt;&amp;`,
		`href="/processes/web-1:9:c00000000009/stop"`)
	if n := strings.Count(said, "given back"); n != 1 {
		t.Errorf("it says %d times who gave jobs back", n)
	}
	if strings.Index(said, "✓ 0 lost") < strings.Index(said, "touched") {
		t.Error("that nothing is lost needs not come first")
	}
}

func TestStopsOfJobs(t *testing.T) {
	t.Parallel()
	ui := stage(t, deploy(), Options{})
	row := func(body, jid string) string {
		for row := range strings.SplitSeq(body, "<tr") {
			if strings.Contains(row, `title="`+jid+`"`) {
				return text("<main" + row)
			}
		}
		return ""
	}
	// A process that took part names its rollout too.
	body := read(t, ui, "/stops/worker-1:7:c00000000001")
	for jid, where := range map[string]string{
		"done1": "✓ done", "save1": "look for it", "back1": "look for it", "resc1": "✓ done worker-6:7", "run1": "● running worker-3:7", "ruby1": "● running web-1:9",
	} {
		if got := row(body, jid); !strings.Contains(got, where) {
			t.Errorf("%s: no %q in %q", jid, where, got)
		}
	}
	body = read(t, ui, "/stops/worker-1:7?fate=rescued")
	if row(body, "resc1") == "" || row(body, "done1") != "" {
		t.Errorf("rescued alone: %s", text(body))
	}
}

func TestStopsLost(t *testing.T) {
	t.Parallel()
	s := deploy()
	s.stops[0].Phases[0].InFlight = 6
	ui := stage(t, s, Options{})
	said := text(read(t, ui, "/stops/worker-1:7?fate=lost"))
	wants(t, said, "✕ 2 lost", "2 jobs ran when the stop began, and nobody has said what became of them")
	if strings.Index(said, "✕ 2 lost") > strings.Index(said, "touched =") {
		t.Error("what is lost does not come first")
	}
	wants(t, read(t, ui, "/stops"), `bad-text`)
}

func TestStopsExport(t *testing.T) {
	t.Parallel()
	w := ask(stage(t, deploy(), Options{}), "GET", "/stops/worker-1:7/export")
	var f rolloutFile
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if len(f.Stops) != 2 || len(f.Stops[0].Jobs)+len(f.Stops[1].Jobs) != 5 || f.From != "v142" || f.Fates.Rescued != 1 || len(f.Living) == 0 {
		t.Errorf("got %+v", f)
	}
}

// An address that was passed on before the rollout was known whole still leads to it.
func TestStopsOldAddress(t *testing.T) {
	t.Parallel()
	s := deploy()
	ui := stage(t, s, Options{})
	found := oneRollout.FindStringSubmatch(read(t, ui, "/stops"))
	s.stops = append(s.stops, store.StopReport{ID: "worker-0:7:c00000000000", Release: "v142", Reason: "SIGTERM", Began: time.Now().Add(-100 * time.Second), Ended: time.Now().Add(-90 * time.Second)})
	wants(t, text(read(t, ui, found[1])), "v142 → v143")
}

func TestStopsOfNothing(t *testing.T) {
	t.Parallel()
	ui := stage(t, &scene{}, Options{})
	wants(t, text(read(t, ui, "/stops")), "No process has stopped yet")
	if w := ask(ui, "GET", "/stops/v1-20260101T0000"); w.Code != http.StatusNotFound {
		t.Errorf("a stop that nobody knows: %d", w.Code)
	}
}

// None is left out between one page and the next, and old ones are found by name.
func TestStopsPages(t *testing.T) {
	t.Parallel()
	s := &scene{}
	const n = 450
	for i := range n {
		at := time.Now().Add(-time.Duration(i) * 20 * time.Minute)
		s.stops = append(s.stops, store.StopReport{ID: store.Identity(fmt.Sprintf("host:%d:aaaaaaaaaaaa", i+1)), Release: fmt.Sprintf("r%d.", i), Reason: "SIGTERM", Began: at.Add(-time.Second), Ended: at})
	}
	ui := stage(t, s, Options{})
	seen := map[string]bool{}
	link := regexp.MustCompile(`href="(/stops\?before=[^"]*)">Older`)
	name := regexp.MustCompile(`data-key="(r[0-9]+)\.`)
	for target := "/stops"; ; {
		body := read(t, ui, target)
		if len(body) > 60_000 {
			t.Errorf("a page of %d bytes", len(body))
		}
		for _, m := range name.FindAllStringSubmatch(body, -1) {
			seen[m[1]] = true
		}
		next := link.FindStringSubmatch(body)
		if next == nil {
			break
		}
		target = next[1]
	}
	if len(seen) != n {
		t.Errorf("%d of %d on the pages", len(seen), n)
	}
	wants(t, text(read(t, ui, "/stops/host:449")), "r448.")
}

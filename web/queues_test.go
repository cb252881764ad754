package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

const hostile = `a/b<script>`

func queuesScene() *scene {
	served := store.Process{Lang: "go", Presence: store.Presence{ID: "w:1:0123456789ab", State: "running",
		Groups: []store.Group{{Name: "default", Concurrency: 5, Queues: []store.Share{{Queue: "default", Weight: 3}}}}}}
	return &scene{
		queues: []store.Queue{
			{Name: "default", Waiting: 1204, Oldest: time.Now().Add(-90 * time.Second), Held: 2}, {Name: hostile, Waiting: 1}, {Name: "held", Paused: true},
		},
		processes: []store.Process{served},
		points: []store.Point{
			{At: store.Minute.Start(time.Now()).Add(-2 * time.Minute), Runs: store.Runs{Kind: "MailJob", Queue: "default", Ended: 40, Failed: 3}},
			{At: store.Minute.Start(time.Now()).Add(-2 * time.Minute), Runs: store.Runs{Kind: "ReportJob", Queue: "default", Ended: 4}},
		},
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	ui := stage(t, queuesScene(), Options{})
	body := read(t, ui, "/queues")
	wants(t, text(body), "3 queues · 1,205 jobs waiting in all", "default 1,204 90 s", "MailJob , ReportJob", "1 process", "nobody works this queue", "‖ paused")
	wants(t, body, `href="/queues/a%2Fb%3Cscript%3E"`, `aria-label="Resume held"`, `class="spark"`)
	lacks(t, body, "<script>")
	lacks(t, text(body), "/min") // too little was seen to say how fast
	said := text(read(t, ui, "/queues?q=B%3C"))
	wants(t, said, "1 queue ")
	lacks(t, said, "default")
	wants(t, text(read(t, ui, "/queues?q=none")), "No queue has that in its name")
	wants(t, text(read(t, stage(t, &scene{}, Options{}), "/queues")), "No queue yet")
}

func TestQueuesOne(t *testing.T) {
	t.Parallel()
	s := queuesScene()
	ui := stage(t, s, Options{})
	for i := range 60 {
		payload := fmt.Sprintf(`{"class":"MailJob","jid":"%024d","queue":"a/b<script>","args":[],"enqueued_at":1767225600}`, i)
		if _, err := s.Store.Push(t.Context(), store.Call{}, store.Item{JID: fmt.Sprintf("%024d", i), Queue: hostile, Kind: "MailJob", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	body := read(t, ui, "/queues/a%2Fb%3Cscript%3E")
	wants(t, text(body), "1 …00000000 MailJob", "50 …00000049", "accepted 60", "0: every accepted job is accounted for", "nobody works")
	wants(t, body, `href="/jobs?q=queue`, `value="clear"`, `value="move"`, `name="q" value="`)
	lacks(t, body, "<script>", "00000050")
	wants(t, text(read(t, ui, "/queues/default")), "MailJob 40 40 3", "1,204 jobs waiting, the oldest for 90 s", "● running w:1 default 5 3")
	if w := ask(ui, "GET", "/queues/none"); w.Code != 404 {
		t.Errorf("no such queue: %d", w.Code)
	}
}

func TestQueuesPause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		opt        Options
		status     int
		paused     bool // default
		audit      []string
	}{
		{"pause", "/queues/default/pause", Options{Role: operator}, 303, true, []string{"pause queue default"}},
		{"a hostile name", "/queues/a%2Fb%3Cscript%3E/pause", Options{}, 303, false, []string{"pause queue " + hostile}},
		{"one that is so", "/queues/default/resume", Options{}, 303, false, nil},
		{"a viewer", "/queues/default/pause", Options{Role: viewer}, 403, false, nil},
		{"read-only", "/queues/default/pause", Options{ReadOnly: true}, 405, false, nil},
		{"one that is not there", "/queues/none/pause", Options{}, 404, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := queuesScene()
			ui := stage(t, s, c.opt)
			if w := submit(ui, c.path); w.Code != c.status {
				t.Errorf("%d, want %d", w.Code, c.status)
			}
			if s.queues[0].Paused != c.paused {
				t.Errorf("paused: %v", s.queues[0].Paused)
			}
			if diff := cmp.Diff(c.audit, changesOf(t, ui)); diff != "" {
				t.Error(diff)
			}
		})
	}
	lacks(t, read(t, stage(t, queuesScene(), Options{Role: viewer}), "/queues"), `method="post"`)
	lacks(t, read(t, stage(t, queuesScene(), Options{Role: operator}), "/queues/default"), `/bulk`)
}

// How fast a queue is comes from two looks at the books; before that, and where others
// push too, nothing is claimed.
func TestQueuesPace(t *testing.T) {
	t.Parallel()
	s := &scene{}
	var books store.Books
	s.stats = func() store.Stats { return store.Stats{Books: []store.Books{books}} }
	for _, c := range []struct {
		name     string
		was, now store.Books
		after    time.Duration
		want     queuePace
	}{
		{"drains", store.Books{Waiting: 1000, Fetched: 10}, store.Books{Waiting: 900, Fetched: 130}, time.Minute, queuePace{In: 20, Out: 120, Both: true, Says: "empty in about 9 min"}},
		{"grows", store.Books{Waiting: 100}, store.Books{Waiting: 140}, time.Minute, queuePace{In: 40, Both: true, Growing: true, Says: "growing 40/min"}},
		{"stays", store.Books{Waiting: 100, Fetched: 5}, store.Books{Waiting: 100, Fetched: 35}, 30 * time.Second, queuePace{In: 60, Out: 60, Both: true}},
		{"is shared", store.Books{Waiting: 1000, Shared: true}, store.Books{Waiting: 900, Fetched: 1, Shared: true}, time.Minute, queuePace{Says: "empty in about 9 min"}},
		{"was seen too shortly", store.Books{Waiting: 1000}, store.Books{Waiting: 900}, 5 * time.Second, queuePace{}},
	} {
		f := &paces{store: s}
		books = c.was
		books.Queue = "q"
		if err := f.look(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		books = c.now
		books.Queue = "q"
		if err := f.look(t.Context(), noon.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, f.paceOf(store.Queue{Name: "q", Waiting: c.now.Waiting})); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// However long it is looked, no more than a few minutes are kept.
func TestQueuesLooks(t *testing.T) {
	t.Parallel()
	f := &paces{store: &scene{stats: func() store.Stats { return store.Stats{} }}}
	for i := range 3600 {
		if err := f.look(t.Context(), noon.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	first, last := f.looks[0].at, f.looks[len(f.looks)-1].at
	if len(f.looks) > 40 || last.Sub(first) < 4*time.Minute || last != noon.Add(3599*time.Second) {
		t.Errorf("%d looks over %v", len(f.looks), last.Sub(first))
	}
}

func TestQueuesMany(t *testing.T) {
	t.Parallel()
	s := &scene{}
	for i := range 1000 {
		name := fmt.Sprintf("tenant-%04d-notifications", i)
		s.queues = append(s.queues, store.Queue{Name: name, Waiting: int64(i), Oldest: time.Now().Add(-time.Duration(i) * time.Second)})
		for j := range 30 {
			s.points = append(s.points, store.Point{At: store.Minute.Start(time.Now()).Add(-time.Duration(j+1) * time.Minute), Runs: store.Runs{Kind: "NotifyJob", Queue: name, Ended: int64(i * j % 7)}})
		}
	}
	ui := stage(t, s, Options{})
	for _, target := range []string{"/queues", "/queues?page=20", "/queues?sort=wait"} {
		body := read(t, ui, target)
		if len(body) > 60_000 {
			t.Errorf("%s: %d bytes", target, len(body))
		}
		t.Logf("%s: %d bytes", target, len(body))
	}
	wants(t, text(read(t, ui, "/queues?sort=waiting")), "tenant-0999-notifications 999")
}

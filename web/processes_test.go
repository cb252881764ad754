package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

// submit sends a form as the page's own would be.
func submit(ui http.Handler, target string, fields ...string) *httptest.ResponseRecorder {
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r := httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "localhost:9090"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	ui.ServeHTTP(w, r)
	return w
}

// changesOf are the words of the audit trail, the latest first.
func changesOf(t *testing.T, ui *UI) (all []string) {
	t.Helper()
	for c, err := range ui.store.Changes(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Verb+" "+c.What)
	}
	return all
}

func viewer(User) Role   { return Viewer }
func operator(User) Role { return Operator }

func TestProcesses(t *testing.T) {
	t.Parallel()
	ui := stage(t, deploy(), Options{})
	body := read(t, ui, "/processes")
	wants(t, text(body), "● running 1", "◐ quiet 1", "◒ draining 1", "■ stopped 1", "✕ vanished 1", "v142 2 processes", "2 of 25 slots busy", "Sidekiq", "worker-3:7", "grace 2 min")
	wants(t, body, `<meter max="20" value="1"`, `aria-label="Stop all of v142"`)
	said := text(read(t, ui, "/processes?q=RUBY&group=host"))
	wants(t, said, "web-1:9")
	lacks(t, said, "worker-6:7")
	wants(t, text(read(t, ui, "/processes?q=nobody")), "No process matches")
	wants(t, text(read(t, stage(t, &scene{}, Options{}), "/processes")), "No process lives")
}

func TestProcessesOne(t *testing.T) {
	t.Parallel()
	s := deploy()
	s.processes[0].Settings = []store.Setting{{Name: "grace", Value: "2m0s", From: "platform"}}
	s.processes[0].Warnings = []string{"<sh> is PID 1"}
	s.processes[0].Groups = []store.Group{{Name: "default", Concurrency: 20, Queues: []store.Share{{Queue: "a/b<script>", Weight: 3}}}}
	ui := stage(t, s, Options{})
	body := read(t, ui, "/processes/worker-3:7")
	wants(t, text(body), "◒ draining", "Running 1 of 20", "63 %", "12 min ago", "will be cut in 01:08", "2m0s platform", "PID 1", "×3")
	wants(t, body, "/queues/a%2Fb%3Cscript%3E", "&lt;sh&gt; is PID 1")
	lacks(t, body, "<script>")
	// One that is gone has its page as long as anybody remembers how it ended.
	wants(t, text(read(t, ui, "/processes/worker-5:7:c00000000005")), "✕ vanished", "gone without a TERM", "resc1", "after 1.4 s")
	wants(t, text(read(t, ui, "/processes/worker-1:7")), "■ stopped", "SIGTERM", "draining 19 s 4", "checkpointed", "lost lease")
	if w := ask(ui, "GET", "/processes/nobody:1"); w.Code != http.StatusNotFound {
		t.Errorf("a process that never was: %d", w.Code)
	}
}

func TestProcessesTold(t *testing.T) {
	t.Parallel()
	const goes, drains, ruby, gone = "worker-6:7:c00000000006", "worker-3:7:c00000000003", "web-1:9:c00000000009", "worker-1:7:c00000000001"
	for _, c := range []struct {
		name, path string
		fields     []string
		opt        Options
		status     int
		told       string
		audit      []string
	}{
		{"quiet", "/processes/" + goes + "/quiet", nil, Options{Role: operator}, 303, "quiet", []string{"quiet 1 process: worker-6:7"}},
		{"stop", "/processes/" + goes + "/stop", nil, Options{Role: operator}, 303, "stop", []string{"stop 1 process: worker-6:7"}},
		{"dump", "/processes/" + goes + "/dump", nil, Options{}, 303, "dump", []string{"dump 1 process: worker-6:7"}},
		{"all of a release", "/processes/quiet", []string{"release", "v143"}, Options{}, 303, "quiet", []string{"quiet 1 process: worker-6:7"}},
		{"what is so already", "/processes/" + drains + "/stop", nil, Options{}, 303, "", nil},
		{"a viewer", "/processes/" + goes + "/quiet", nil, Options{Role: viewer}, 403, "", nil},
		{"a dump by an operator", "/processes/" + goes + "/dump", nil, Options{Role: operator}, 403, "", nil},
		{"read-only", "/processes/" + goes + "/stop", nil, Options{ReadOnly: true}, 405, "", nil},
		{"a release, read-only", "/processes/stop", []string{"release", "v143"}, Options{ReadOnly: true}, 405, "", nil},
		{"resume of Ruby", "/processes/" + ruby + "/resume", nil, Options{}, 409, "", nil},
		{"one that has ended", "/processes/" + gone + "/stop", nil, Options{}, 409, "", nil},
		{"one that never was", "/processes/x:1:0/stop", nil, Options{}, 404, "", nil},
		{"others than were shown", "/processes/stop", []string{"release", "v143", "seen", "other"}, Options{}, 409, "", nil},
		{"no release", "/processes/stop", nil, Options{}, 400, "", nil},
		{"a release of nobody", "/processes/stop", []string{"release", "v1"}, Options{}, 404, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := deploy()
			ui := stage(t, s, c.opt)
			if w := submit(ui, c.path, c.fields...); w.Code != c.status {
				t.Errorf("%d, want %d: %s", w.Code, c.status, text(w.Body.String()))
			}
			want := map[store.Identity][]store.Verb{}
			if c.told != "" {
				want[goes] = []store.Verb{store.Verb(c.told)}
			}
			if diff := cmp.Diff(want, s.told); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.audit, changesOf(t, ui)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What was asked for is shown at once as that, and as done when the process says so.
func TestProcessesIntent(t *testing.T) {
	t.Parallel()
	s := deploy()
	ui := stage(t, s, Options{Auth: Func(func(*http.Request) (User, error) { return User{Name: "kim"}, nil })})
	const path = "/processes/worker-6:7:c00000000006"
	submit(ui, path+"/quiet")
	for _, page := range []string{path, "/processes", "/stops/worker-1:7"} {
		said := text(read(t, ui, page))
		wants(t, said, "told to go quiet by kim@127.0.0.1", "● running")
	}
	s.processes[1].State = "quiet"
	submit(ui, "/queues/none/pause") // has topics read again
	lacks(t, text(read(t, stage(t, &scene{processes: s.processes}, Options{}), path)), "told to")
	var asked orders
	asked, err := ui.orders(t.Context(), time.Now())
	if err != nil || len(asked) != 1 {
		t.Fatalf("%v %v", asked, err)
	}
	if o := asked.of(&s.processes[1]); o != nil {
		t.Errorf("it is quiet, and still told to: %+v", o)
	}
	s.processes[1].State, s.processes[1].Started = "running", time.Now().Add(time.Second)
	if o := asked.of(&s.processes[1]); o != nil {
		t.Errorf("it began after the order: %+v", o)
	}
}

func TestProcessesAskStop(t *testing.T) {
	t.Parallel()
	s := deploy()
	s.processes[1].Grace = 2 * time.Minute
	s.processes[1].Busy = []store.Run{
		{JID: "short", Kind: "QuickJob", Since: time.Now().Add(-time.Second)}, {JID: "new", Kind: "NewJob", Since: time.Now()}, {JID: "deaf", Kind: "QuickJob", Deaf: true},
	}
	spread := store.Spread{}
	for range 100 {
		spread.Add(2 * time.Second)
	}
	s.points = []store.Point{{At: time.Now(), Runs: store.Runs{Kind: "QuickJob", Ended: 100, Spread: spread}}}
	ui := stage(t, s, Options{})
	body := read(t, ui, "/processes/worker-6:7/stop")
	wants(t, text(body), "Stop 1 process?", "3 jobs run", "finishes: 95 of 100 QuickJob take 2.5 s at most", "finishes within 110 s; if not, it is handed back", "deaf: it does not hear")
	wants(t, text(read(t, ui, "/processes/stop?release=v142")), "Stop 2 processes?", "unknown: Sidekiq")
	for _, opt := range []Options{{Role: viewer}, {ReadOnly: true}} {
		if w := ask(stage(t, deploy(), opt), "GET", "/processes/worker-6:7/stop"); w.Code != 403 && w.Code != 405 {
			t.Errorf("%+v: %d", opt, w.Code)
		}
	}
	// What a role may not do has no button.
	lacks(t, read(t, stage(t, deploy(), Options{Role: viewer}), "/processes"), `method="post"`, "/stop\"")
	lacks(t, read(t, stage(t, deploy(), Options{ReadOnly: true}), "/processes/worker-6:7"), `method="post"`)
}

// Many processes and many running jobs stay within what a page may weigh.
func TestProcessesMany(t *testing.T) {
	t.Parallel()
	s := &scene{}
	for i := range 200 {
		p := store.Process{Lang: "go", Presence: store.Presence{
			ID: store.Identity(fmt.Sprintf("shop-worker-7d9f8b6c5-x%03d:7:0123456789ab", i)), Host: fmt.Sprintf("shop-worker-7d9f8b6c5-x%03d", i), Release: fmt.Sprintf("v%d.2.3", i%3), State: "running",
			Version: "1.0.0", Concurrency: 25, Started: time.Now().Add(-time.Hour), RSS: 1 << 28, Grace: time.Minute, Labels: []string{"eu", "spot"},
			Groups: []store.Group{{Name: "default", Concurrency: 25, Queues: []store.Share{{Queue: "default", Weight: 3}, {Queue: "mailers"}}}},
		}}
		for j := range 25 {
			p.Busy = append(p.Busy, store.Run{Slot: fmt.Sprint(j), JID: fmt.Sprintf("%024d", i*25+j), Kind: "ReportJob", Queue: "default", Since: time.Now()})
		}
		s.processes = append(s.processes, p)
	}
	one := s.processes[0]
	one.ID, one.Busy = "busy:1:0123456789ab", nil
	for j := range 5000 {
		one.Busy = append(one.Busy, store.Run{Slot: fmt.Sprint(j), JID: fmt.Sprintf("%024d", j), Kind: "ReportJob", Queue: "default", Since: time.Now(), Note: "1,204 of 1,900"})
	}
	s.processes = append(s.processes, one)
	ui := stage(t, s, Options{})
	for _, target := range []string{"/processes", "/processes?page=3", "/processes?group=host", "/processes/busy:1", "/processes/busy:1?page=100", "/processes/busy:1/stop"} {
		body := read(t, ui, target)
		if len(body) > 60_000 {
			t.Errorf("%s: %d bytes", target, len(body))
		}
		t.Logf("%s: %d bytes", target, len(body))
	}
	wants(t, text(read(t, ui, "/processes?page=99")), "page 5 of 5")
}

//go:build slow

package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// webProgram serves Sidekiq's pages as a config.ru does, prints its port, and ends with
// its standard input.
const webProgram = `
require "sidekiq"
require "sidekiq/web"
require "rack/handler/webrick"
Sidekiq.configure_client { |c| c.redis = { url: ENV["REDIS_URL"] } }
app = Rack::Builder.new do
  use Rack::Session::Cookie, secret: "s" * 64, same_site: true
  run Sidekiq::Web
end
Thread.new { $stdin.read; exit! }
quiet = WEBrick::Log.new(nil, WEBrick::Log::WARN)
Rack::Handler::WEBrick.run(app, Host: "127.0.0.1", Port: 0, Logger: quiet, AccessLog: []) do |server|
  $stdout.puts server.listeners[0].addr[1]
  $stdout.flush
end
`

// browser is somebody who looks at Sidekiq's pages.
type browser struct {
	t    testing.TB
	root string
	http *http.Client
}

// browse serves Sidekiq's pages of a server until the test ends.
func browse(t testing.TB, server *redistest.Server) *browser {
	t.Helper()
	cmd := exec.Command("ruby", "-W0", "-e", webProgram)
	cmd.Env, cmd.Stderr = append(os.Environ(), "REDIS_URL="+server.URL()), os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v\nhint: apt-get install ruby-sidekiq", err)
	}
	b := &browser{t: t, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("Sidekiq's pages are not served: %v\nhint: apt-get install ruby-rack ruby-webrick", err)
	}
	b.root = "http://127.0.0.1:" + strings.TrimSpace(port)
	if b.http.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// page fetches a page.
func (b *browser) page(path string) string {
	b.t.Helper()
	reply, err := b.http.Get(b.root + path)
	return b.read("GET", path, reply, err)
}

func (b *browser) read(method, path string, reply *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %s: %s, %v\n%.2000s", method, path, reply.Status, err, body)
	}
	return string(body)
}

var csrfToken = regexp.MustCompile(`name='authenticity_token' value='([^']+)'`)

// press fetches a page and sends one of its forms, with that button and these fields.
// It returns the page that follows.
func (b *browser) press(page, action, button string, fields ...string) string {
	b.t.Helper()
	token := csrfToken.FindStringSubmatch(b.page(page))
	if token == nil {
		b.t.Fatalf("%s has no form", page)
	}
	form := url.Values{"authenticity_token": {token[1]}, button: {"1"}}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	reply, err := b.http.PostForm(b.root+action, form)
	return b.read("POST", action, reply, err)
}

// rows are the rows of all tables of a page, as people read them.
func (b *browser) rows(path string) (rows []string) {
	b.t.Helper()
	for _, row := range strings.Split(b.page(path), "<tr")[1:] {
		row, _, _ = strings.Cut(row, "</tr>")
		_, row, _ = strings.Cut(row, ">")
		text := html.UnescapeString(markup.ReplaceAllString(row, " "))
		rows = append(rows, strings.Join(strings.Fields(text), " "))
	}
	return rows
}

var markup = regexp.MustCompile(`<[^>]*>`)

// row is the one with a text in it.
func (b *browser) row(path, text string) string {
	b.t.Helper()
	rows := b.rows(path)
	i := slices.IndexFunc(rows, func(row string) bool { return strings.Contains(row, text) })
	if i < 0 {
		b.t.Fatalf("%s shows nothing of %q: %q", path, text, rows)
	}
	return rows[i]
}

// box is the value of the check box of a job on a page of one of the sets.
func (b *browser) box(path, jid string) string {
	b.t.Helper()
	m := regexp.MustCompile(`name='key\[\]' value='([^']*-` + jid + `)'`).FindStringSubmatch(b.page(path))
	if m == nil {
		b.t.Fatalf("%s has no box for %s", path, jid)
	}
	return m[1]
}

// tick presses a button of a set's page for one job.
func (b *browser) tick(path, jid, button string) {
	b.t.Helper()
	b.press(path, path, button, "key[]", b.box(path, jid))
}

// pages is what Go has left in every place for Ruby's pages to show.
type pages struct {
	*pair
	*browser
	seen runs
}

// enqueue pushes a job of that kind.
func (p *pages) enqueue(kind string, options ...ebb.Option) string {
	p.Helper()
	ref, err := ebb.Define[int](kind).Enqueue(p.Context(), p.client, 7, append(options, ebb.Queue("web"), ebb.Tags("t-"+kind))...)
	p.must(err)
	return ref.JID
}

// work runs a process until all of jids are in a place, or have run where that is Ready.
func (p *pages) work(verdict func(string, int) error, done func() bool) {
	p.Helper()
	end := p.start(ebb.Config{Queues: []string{"web"}}, func(process *ebb.Process) {
		p.seen.handle(process, verdict, "Web::Retry", "Web::Later", "Web::Dead", "Web::Plain")
	})
	p.await("the end of the work", done)
	end()
}

// counts are the numbers in the head of every page.
func (p *pages) counts() map[string]int {
	p.Helper()
	var stats struct{ Sidekiq map[string]float64 }
	p.must(json.Unmarshal([]byte(p.page("/stats")), &stats))
	counts := map[string]int{}
	for name, n := range stats.Sidekiq {
		counts[name] = int(n)
	}
	delete(counts, "default_latency")
	return counts
}

// What Go has put into queues and sets is shown on Sidekiq's pages, and their buttons
// do to it what they say: Go then finds and runs what is left, each job once.
func TestPages(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	p := &pages{pair: pair, browser: browse(t, pair.server)}
	retries := []string{p.enqueue("Web::Retry"), p.enqueue("Web::Retry"), p.enqueue("Web::Retry")}
	dead := []string{p.enqueue("Web::Dead"), p.enqueue("Web::Dead"), p.enqueue("Web::Dead")}
	p.work(func(jid string, _ int) error {
		if slices.Contains(dead, jid) {
			return ebb.Bury(fmt.Errorf("no <b>hope</b>"))
		}
		return fmt.Errorf("not & yet")
	}, func() bool {
		stats, err := p.client.Store().Stats(t.Context())
		p.must(err)
		return stats.Retrying == 3 && stats.Dead == 3
	})
	later := []string{p.enqueue("Web::Later", ebb.In(time.Hour)), p.enqueue("Web::Later", ebb.In(2*time.Hour)), p.enqueue("Web::Later", ebb.In(3*time.Hour))}
	plain := []string{p.enqueue("Web::Plain"), p.enqueue("Web::Plain")}
	ref, err := ebb.Define[int]("Web::Gone").Enqueue(t.Context(), p.client, 1, ebb.Queue("gone"))
	p.must(err)

	want := map[string]int{"processed": 6, "failed": 6, "busy": 0, "processes": 0, "enqueued": 3, "scheduled": 3, "retries": 3, "dead": 3}
	if diff := cmp.Diff(want, p.counts()); diff != "" {
		t.Errorf("the dashboard counts (-want +got):\n%s", diff)
	}
	if page := p.page("/"); !strings.Contains(page, `id="txtProcessed" class="count">6<`) {
		t.Error("the dashboard does not say how many were processed")
	}
	for path, texts := range map[string][]string{
		"/queues":                              {"web", "gone"},
		"/queues/web":                          {"1 Web::Plain t-Web::Plain 7"},
		"/retries":                             {"0 web Web::Retry t-Web::Retry 7 error: not & yet"},
		"/scheduled":                           {"web Web::Later t-Web::Later 7"},
		"/morgue":                              {"web Web::Dead t-Web::Dead 7 error: ebb: bury: no <b>hope</b>"},
		"/morgue/" + p.box("/morgue", dead[0]): {dead[0]},
	} {
		for _, text := range texts {
			t.Logf("%s: %s", path, p.row(path, text))
		}
	}

	// Of each place one job goes on, one is deleted, and one of the retries is killed.
	p.tick("/retries", retries[0], "retry")
	p.tick("/retries", retries[1], "delete")
	p.tick("/retries", retries[2], "kill")
	p.tick("/scheduled", later[0], "add_to_queue")
	p.tick("/scheduled", later[1], "delete")
	p.tick("/morgue", dead[0], "retry")
	p.tick("/morgue", dead[1], "delete")
	waits, _ := p.in(store.Ready, plain[1])
	p.press("/queues/web", "/queues/web/delete", "delete", "key_val", string(waits.Payload))
	p.press("/queues", "/queues/gone", "delete")

	for jid, place := range map[string]store.Place{
		retries[0]: store.Ready, retries[2]: store.Dead, later[0]: store.Ready, later[2]: store.Scheduled,
		dead[0]: store.Ready, dead[2]: store.Dead, plain[0]: store.Ready,
	} {
		p.in(place, jid)
	}
	for _, jid := range []string{retries[1], later[1], dead[1], plain[1], ref.JID} {
		if found := p.entries(jid); len(found) > 0 {
			t.Errorf("%s was deleted and is in %v", jid, found)
		}
	}
	if _, job := p.in(store.Ready, retries[0]); job.Count != -1 {
		t.Errorf("a retry by hand counts %d", job.Count)
	}

	// ebb sees all that, runs what is left, and nothing else.
	ready := []string{retries[0], later[0], dead[0], plain[0]}
	before := map[string]int{}
	for _, jid := range ready {
		before[jid] = len(p.seen.of(jid))
	}
	p.work(nil, func() bool {
		return !slices.ContainsFunc(ready, func(jid string) bool { return len(p.seen.of(jid)) == before[jid] })
	})
	stats, err := p.client.Store().Stats(t.Context())
	p.must(err)
	if stats.Ready+stats.Held != 0 || stats.Scheduled != 1 || stats.Retrying != 0 || stats.Dead != 2 || stats.Processed != 10 || stats.Failed != 6 {
		t.Errorf("in the end: %+v", stats)
	}
	for _, books := range stats.Books {
		if books.Custody() != 0 {
			t.Errorf("the books of %s miss %d", books.Queue, books.Custody())
		}
	}
	want = map[string]int{"processed": 10, "failed": 6, "busy": 0, "processes": 0, "enqueued": 0, "scheduled": 1, "retries": 0, "dead": 2}
	if diff := cmp.Diff(want, p.counts()); diff != "" {
		t.Errorf("in the end the dashboard counts (-want +got):\n%s", diff)
	}
	p.checkMetrics(map[string]kindMetrics{
		"Web::Retry": {runs: 4, failures: 3}, "Web::Dead": {runs: 4, failures: 3}, "Web::Later": {runs: 1}, "Web::Plain": {runs: 1},
	})
}

//go:build ui

package browser

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
)

// update is what a stream tells of one part of a page.
type update struct {
	Topic   string `json:"topic"`
	Page    string `json:"page"`
	Version string `json:"version"`
	HTML    string `json:"html"`
}

// replay is a server between a browser and a site that tells an open page what the site
// has told before, again and again and as fast as the page takes it.
type replay struct {
	testing.TB
	root, page string
	told       []map[string]update // by topic, a round each
	round      int                 // the last that was due
	due        chan int            // a round to tell
	often      int                 // how many rounds a stream has
}

func newReplay(t testing.TB, s *site, page string, often int) *replay {
	t.Helper()
	target, err := url.Parse(s.root)
	if err != nil {
		t.Fatal(err)
	}
	p := &replay{TB: t, page: page, due: make(chan int), often: often}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	mux := http.NewServeMux()
	mux.Handle("/", forward)
	mux.HandleFunc("/live", p.live)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.root = server.URL
	return p
}

// live is the stream: hello, and then what is due. Whoever reads it comes back at once.
func (p *replay) live(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	send := func(event string, data any) {
		text, err := json.Marshal(data)
		if err != nil {
			p.Error(err)
		}
		fmt.Fprintf(w, "retry: 1\nevent: %s\ndata: %s\n\n", event, text)
		out.Flush()
	}
	pulse := func() map[string]int64 { return map[string]int64{"now": time.Now().UnixMilli()} }
	w.Header().Set("Content-Type", "text/event-stream")
	send("hello", pulse())
	for {
		select {
		case round := <-p.due:
			for _, u := range p.news(round) {
				send("update", u)
			}
			if round%p.often == 0 {
				return
			}
		case <-time.After(time.Second):
			send("beat", pulse())
		case <-r.Context().Done():
			return
		}
	}
}

// news are the parts that look otherwise in a round than in the one before.
func (p *replay) news(round int) (all []update) {
	before := p.told[(round-1)%len(p.told)]
	for topic, u := range p.told[round%len(p.told)] {
		if u.Version != before[topic].Version {
			u.Version += "-" + strconv.Itoa(round)
			all = append(all, u)
		}
	}
	return all
}

// tell tells the page so many rounds, and waits until it has shown the last one.
func (p *replay) tell(b *tab, rounds int) {
	p.Helper()
	for range rounds {
		p.round++
		select {
		case p.due <- p.round:
		case <-time.After(3 * patience): // one that was held up for 5 s asks now and then, and listens a minute later
			p.Fatalf("the page does not listen to round %d, and says %q: %v", p.round, evaluate[string](b, `document.querySelector("[data-fresh]").innerText`), b.complaints())
		}
	}
	for _, u := range p.news(p.round) {
		b.within(patience, `document.querySelector('.live[data-topic=%q]').dataset.version === %q`, u.Topic, u.Version)
	}
}

var liveTopic = regexp.MustCompile(`data-topic="([^"]*)"`)

// record keeps how the parts of the page look now.
func (p *replay) record(s *site) {
	p.Helper()
	_, body := get(p, s.root+p.page)
	looks := map[string]update{}
	for _, m := range liveTopic.FindAllSubmatch(body, -1) {
		topic := string(m[1])
		answer, html := get(p, s.root+"/piece?"+url.Values{"topic": {topic}, "page": {p.page}}.Encode())
		looks[topic] = update{topic, p.page, strings.Trim(answer.Header.Get("Etag"), `"`), string(html)}
	}
	p.told = append(p.told, looks)
}

// keeps is what a page keeps in memory, once what it need not keep is gone.
type keeps struct{ heap, nodes, listeners int }

func (b *tab) keeps() keeps {
	b.Helper()
	for range 2 {
		command(b, heapprofiler.CollectGarbage, cdp.Empty{})
	}
	figures := map[string]float64{}
	for _, m := range command(b, performance.GetMetrics, cdp.Empty{}).Metrics {
		figures[m.Name] = m.Value
	}
	return keeps{int(figures["JSHeapUsedSize"]), int(figures["Nodes"]), int(figures["JSEventListeners"])}
}

// A page that is open for a day's work, in which something changes every second, does
// not grow: not by what it is told, and not by the streams that follow one another. It is
// told a tenth of that, or with -short a hundredth, and may keep a tenth of 10 MB.
func TestEightHours(t *testing.T) {
	t.Parallel()
	const growth, streams, warm = 1 << 20, 8 * 60 / 5, 100
	rounds := 8 * 60 * 60 / 10
	if testing.Short() {
		rounds /= 10
	}
	l := newSets(t, 1_000)
	l.pour(l.fillQueues)
	l.fleet()
	l.stops()
	s := serve(t, l.redis.URL())
	for _, page := range []string{"/", "/processes"} {
		t.Run(page, func(t *testing.T) {
			p := newReplay(t, s, page, rounds/streams)
			for i := range 4 {
				for n := range 20 {
					l.turn(n, []string{"quiet", "running"}[i%2])
				}
				l.redis.Do("LPUSH", "queue:queue-0001", fmt.Sprintf(`{"class":"Late","args":[%d],"jid":"e0%022x","queue":"queue-0001"}`, i, i))
				answer, err := http.Post(s.root+"/queues/queue-0002/"+[]string{"pause", "resume"}[i%2], "application/x-www-form-urlencoded", nil)
				l.must(err) // all is read anew after it
				answer.Body.Close()
				p.record(s)
			}
			changing := map[string]bool{}
			for round := range p.told {
				for _, u := range p.news(round + 1) {
					changing[u.Topic] = true
				}
			}
			b := newTab(t)
			command(b, network.Disable, cdp.Empty{}) // its log of all that is told is not the page's
			command(b, performance.Enable, performance.EnableParams{})
			b.visit(p.root + page)
			p.tell(b, warm)
			before := b.keeps()
			began := time.Now()
			p.tell(b, rounds) // and it looks as it did before
			took := time.Since(began)
			after := b.keeps()
			b.quiet("a page that is open for long")
			measured(t, "%d changes of %v in %.0f s: the page keeps %.1f MB and then %.1f MB, %d nodes and %d, %d listeners and %d", rounds, slices.Sorted(maps.Keys(changing)), took.Seconds(),
				float64(before.heap)/(1<<20), float64(after.heap)/(1<<20), before.nodes, after.nodes, before.listeners, after.listeners)
			if after.heap-before.heap > growth {
				t.Errorf("the page keeps %d bytes more, want at most %d", after.heap-before.heap, growth)
			}
			if most := rounds / 10; after.nodes > before.nodes+most || after.listeners > before.listeners+most { // what each change left would be more
				t.Errorf("the page keeps %d nodes and %d listeners after it kept %d and %d", after.nodes, after.listeners, before.nodes, before.listeners)
			}
		})
	}
}

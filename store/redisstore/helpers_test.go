package redisstore_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

const soon = 15 * time.Second

// boot is a process with a client of its own that serves some queues.
type boot struct {
	*redisstore.Store
	t      *testing.T
	id     store.Identity
	queues []store.Share
	seq    uint64
}

// serversOf is what kind of server each layout needs.
var serversOf = map[string][]redistest.Option{"sidekiq": nil, "cluster": {redistest.Cluster()}}

// inLayouts runs a test in both layouts, side by side, each with a server of its own.
func inLayouts(t *testing.T, run func(t *testing.T, server *redistest.Server, url string)) {
	for layout, options := range serversOf {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, options...)
			run(t, server, server.URL()+"?layout="+layout)
		})
	}
}

func start(t *testing.T, url string, queues ...string) *boot {
	t.Helper()
	b := &boot{Store: open(t, url), t: t, id: store.NewIdentity()}
	for _, q := range queues {
		b.queues = append(b.queues, store.Share{Queue: q})
	}
	b.beat()
	return b
}

func (b *boot) presence() store.Presence {
	return store.Presence{
		ID: b.id, Host: b.id.Host(), PID: b.id.PID(), Tag: "shop", Version: "1.2", Started: time.Now(), Concurrency: 10, State: "running",
		Groups: []store.Group{{Name: "default", Concurrency: 10, Queues: b.queues}},
	}
}

func (b *boot) beat() store.Orders {
	b.t.Helper()
	orders, err := b.Beat(b.t.Context(), b.presence(), time.Minute)
	if err != nil {
		b.t.Fatal(err)
	}
	return orders
}

func (b *boot) call(lane int) store.Call {
	b.seq++
	return store.Call{By: b.id, Lane: lane, Seq: b.seq}
}

func (b *boot) plan() store.Plan { return store.Plan{Queues: b.queues} }

// fetch waits until there are jobs, or fails.
func (b *boot) fetch(n int) []store.Held {
	b.t.Helper()
	jobs, _, err := b.Fetch(b.t.Context(), b.call(store.LaneFetch), b.plan(), n, soon)
	if err != nil || len(jobs) == 0 {
		b.t.Fatalf("fetched %d jobs: %v", len(jobs), err)
	}
	return jobs
}

func (b *boot) push(queue string, jids ...string) {
	b.t.Helper()
	if _, err := b.Push(b.t.Context(), b.call(store.LanePush), items(queue, jids...)...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *boot) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func items(queue string, jids ...string) []store.Item {
	all := make([]store.Item, len(jids))
	for i, jid := range jids {
		all[i] = store.Item{JID: jid, Queue: queue, Kind: "T", Payload: fmt.Appendf(nil, `{"class":"T","args":[%d],"queue":%q,"jid":%q}`, i, queue, jid)}
	}
	return all
}

func numbered(n int) []string {
	jids := make([]string, n)
	for i := range jids {
		jids[i] = fmt.Sprintf("%024d", i)
	}
	return jids
}

// in counts the jobs of a place.
func (b *boot) in(q store.Query) int {
	b.t.Helper()
	n := 0
	for _, err := range b.Jobs(b.t.Context(), q) {
		b.must(err)
		n++
	}
	return n
}

// balanced fails the test if a queue's custody is off.
func (b *boot) balanced() {
	b.t.Helper()
	st, err := b.Stats(b.t.Context())
	b.must(err)
	for _, books := range st.Books {
		if books.Custody() != 0 || books.Arrivals() != 0 && !books.Shared {
			b.t.Errorf("custody off by %d, arrivals by %d: %+v", books.Custody(), books.Arrivals(), books)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen in %v: %s", soon, what)
		}
	}
}

// proxy stands between a client and the server and can cut what comes back.
type proxy struct {
	net.Listener
	server string

	mu    sync.Mutex
	conns []net.Conn
	deaf  bool // what the server says is swallowed
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, server: server}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); p.cut(); wg.Wait() })
	return p
}

func (p *proxy) url() string { return "redis://" + p.Addr().String() }

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	p.conns = append(p.conns, c, s)
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(s, c); s.Close() })
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		p.mu.Lock()
		deaf := p.deaf
		p.mu.Unlock()
		if err != nil {
			break
		}
		if deaf {
			break // the request was carried out, and nobody hears of it
		}
		if _, err := c.Write(buf[:n]); err != nil {
			break
		}
	}
	c.Close()
	wg.Wait()
}

// swallow makes replies vanish, and connections with them, or ends that.
func (p *proxy) swallow(deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = deaf
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

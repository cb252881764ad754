package redisstore_test

import (
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/parallel"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
	"github.com/ebbjobs/ebb/store/storetest"
)

func TestMain(m *testing.M) {
	parallel.Tests(4)
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, url string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for layout, options := range serversOf {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			// A cluster takes two seconds to start, so tests hand their server on.
			servers := pool{t: t, options: options}
			storetest.Run(t, func(t *testing.T) storetest.Instance {
				server := servers.take()
				t.Cleanup(func() {
					server.Do("FLUSHALL")
					server.Do("SCRIPT", "FLUSH")
					servers.put(server)
				})
				url := server.URL() + "?layout=" + layout
				return storetest.Instance{
					Open: func(t *testing.T) store.Store {
						if layout == "cluster" {
							return struct{ store.Store }{open(t, url)} // which cannot be copied as a whole
						}
						return open(t, url)
					},
					Disown: func(t *testing.T, id store.Identity) { disown(t, server, id) },
				}
			})
		})
	}
}

// pool is servers that run until t ends.
type pool struct {
	t       *testing.T
	options []redistest.Option

	mu   sync.Mutex
	idle []*redistest.Server
}

// take returns one that nobody uses, and starts it if there is none.
func (p *pool) take() *redistest.Server {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		defer p.mu.Unlock()
		server := p.idle[last]
		p.idle = p.idle[:last]
		return server
	}
	p.mu.Unlock()
	return redistest.Start(p.t, p.options...)
}

func (p *pool) put(server *redistest.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, server)
}

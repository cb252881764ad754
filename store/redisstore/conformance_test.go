package redisstore_test

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
	"github.com/ebbjobs/ebb/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	for layout, options := range serversOf {
		t.Run(layout, func(t *testing.T) {
			// A cluster takes two seconds to start, so tests hand their server on.
			servers := make(chan *redistest.Server, max(2, runtime.GOMAXPROCS(0)))
			for range cap(servers) {
				servers <- redistest.Start(t, options...)
			}
			storetest.Run(t, func(t *testing.T) storetest.Instance {
				server := <-servers
				t.Cleanup(func() {
					server.Do("FLUSHALL")
					server.Do("SCRIPT", "FLUSH")
					servers <- server
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

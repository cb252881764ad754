package redisstore_test

import (
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
	for _, layout := range []string{"sidekiq", "cluster"} {
		t.Run(layout, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Instance {
				var options []redistest.Option
				if layout == "cluster" {
					options = append(options, redistest.Cluster())
				}
				server := redistest.Start(t, options...)
				url := server.URL() + "?layout=" + layout
				return storetest.Instance{Open: func(t *testing.T) store.Store { return open(t, url) }}
			})
		})
	}
}

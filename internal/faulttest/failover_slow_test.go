//go:build slow

package faulttest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

func init() {
	failovers["min-replicas-to-write"] = failover{
		options: []redistest.Option{redistest.Args("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")},
		behind:  4 * time.Second, forgets: true,
	}
}

// A push that is to be on a replica waits for itself, and not for what others have
// written before over some other connection.
func TestAPushWaitsForItsReplica(t *testing.T) {
	t.Parallel()
	p := newPair(t, "?wait=1")
	later := map[string][]ebb.Option{"push": nil, "schedule": {ebb.In(time.Millisecond)}}
	for _, opts := range later {
		if _, err := run.Enqueue(t.Context(), p.client, errand{}, opts...); err != nil {
			t.Fatal(err)
		}
	}
	p.await("replica that has all", func() bool {
		info := p.primary.Do("INFO", "replication")
		return strings.Contains(info, fmt.Sprintf(",offset=%d,", offset(info)))
	})
	p.copying.Set(netfault.State{Hold: true})
	var asked sync.WaitGroup
	for what, opts := range later {
		asked.Go(func() {
			_, err := run.Enqueue(t.Context(), p.client, errand{}, opts...)
			if !errors.Is(err, ebb.ErrUncertain) || !strings.Contains(store.Hint(err), "look at the replicas") {
				t.Errorf("%s that no replica has: %v\nhint: %s", what, err, store.Hint(err))
			}
		})
	}
	asked.Wait()
	p.copying.Set(netfault.State{})
	for what, opts := range later {
		if _, err := run.Enqueue(t.Context(), p.client, errand{}, opts...); err != nil {
			t.Errorf("%s when the replica is back: %v", what, err)
		}
	}
	p.hire(p.url)
	p.rest()
	if got := p.stats().Books[0].Accepted; got != 6 {
		t.Errorf("%d jobs came of 6 that were enqueued once each", got)
	}
}

package faulttest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

var syncsOnFullDisk = []string{"everysec"}

// A server whose disk is full takes no more writes, verdicts included: workers keep
// them until there is room. One that syncs always ends, and has to be started again.
func TestRedisOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, fsync := range syncsOnFullDisk {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			dir := disk(t, "4m")
			f := onRedis(t, kept(fsync), redistest.Args("--dir", dir)).traffic()
			f.hire(f.url)
			f.hire(f.url)
			f.produce(f.url)
			f.flow(50)

			filler := filepath.Join(dir, "filler")
			fill(t, filler)
			f.await("word of it", func() bool { return f.crew[0].log.count(saysAway)*f.crew[1].log.count(saysAway) > 0 })
			if fsync == "everysec" {
				_, err := run.Enqueue(t.Context(), f.client, errand{})
				if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "No space left on device") || !strings.Contains(store.Hint(err), "its disk") {
					t.Errorf("enqueue: %v\nhint: %s", err, store.Hint(err))
				}
			}
			<-time.After(time.Second)
			f.must(os.Remove(filler))
			if fsync == "always" {
				f.server.Restart()
			}
			f.flow(50)
			f.whole(f.settle())
		})
	}
}

package faulttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
)

// sample is what a server says of its append-only file at a moment.
type sample struct {
	at       time.Time
	written  int64 // bytes of it
	buffered int64 // bytes that are not in it, and that it has answered for
	syncing  int64 // syncs under way
}

func (s *site) sample() (now sample, err error) {
	info, err := s.server.Try("INFO", "persistence")
	if err != nil {
		return now, err
	}
	now.at = time.Now()
	for name, field := range map[string]*int64{
		"aof_current_size": &now.written, "aof_buffer_length": &now.buffered, "aof_pending_bio_fsync": &now.syncing,
	} {
		_, value, _ := strings.Cut(info, name+":")
		value, _, _ = strings.Cut(value, "\r")
		if *field, err = strconv.ParseInt(value, 10, 64); err != nil {
			return now, fmt.Errorf("%s: %w", name, err)
		}
	}
	return now, nil
}

// sampled waits for a sample that is ok.
func (s *site) sampled(what string, ok func(sample) bool) (now sample) {
	s.Helper()
	s.await(what, func() bool {
		var err error
		now, err = s.sample()
		s.must(err)
		return ok(now)
	})
	return now
}

// written waits until the server has written what it has answered for.
func (s *site) written() sample {
	s.Helper()
	return s.sampled("written file", func(now sample) bool { return now.buffered == 0 })
}

// meter samples what the server has written until it is stopped.
func (s *site) meter() (stop func() []sample) {
	s.Helper()
	end, samples := make(chan struct{}), []sample{s.written()}
	var metering sync.WaitGroup
	metering.Go(func() {
		for {
			if now, err := s.sample(); err == nil && now.buffered == 0 {
				samples = append(samples, now)
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-end:
				return
			}
		}
	})
	return func() []sample {
		close(end)
		metering.Wait()
		return samples
	}
}

// cutAt kills the server, and leaves of its append-only file what it had written by
// then: its first part, and a piece of what followed.
func (s *site) cutAt(written int64) {
	s.Helper()
	s.server.Kill()
	names, err := filepath.Glob(filepath.Join(s.server.Dir, "appendonlydir", "*.aof"))
	s.must(err)
	size := int64(0)
	last := filepath.Join(s.server.Dir, "appendonly.aof") // one file before Redis 7
	for _, name := range append(names, last) {
		if info, err := os.Stat(name); err == nil {
			if size += info.Size(); strings.HasSuffix(name, ".incr.aof") {
				last = name
			}
		}
	}
	info, err := os.Stat(last)
	s.must(err)
	const torn = 10
	if written < size-torn {
		s.must(os.Truncate(last, info.Size()-(size-written)+torn))
	}
	s.server.Restart()
}

// The power goes and takes along what was not synced: with everysec what was written
// in the last second, with always nothing that had been answered. A file that ends in
// the middle of something is one that has less.
func TestRedisLosesItsPower(t *testing.T) {
	t.Parallel()
	for fsync, unsynced := range map[string]time.Duration{"everysec": time.Second, "always": 0} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			f := onRedis(t, kept(fsync)).traffic()
			way, url := f.proxy()
			f.hire(url)
			f.hire(url)
			f.produce(url)
			stop := f.meter()
			f.flow(50)
			<-time.After(2 * unsynced)

			way.Set(netfault.State{Hold: true}) // nobody gets an answer any more
			samples := append(stop(), f.written())
			end := samples[len(samples)-1]
			cut := samples[0]
			for _, s := range samples {
				if !s.at.After(end.at.Add(-unsynced)) {
					cut = s
				}
			}
			f.cutAt(cut.written)
			way.Cut()
			way.Set(netfault.State{})
			f.flow(50)
			l := f.settle()
			if unsynced == 0 {
				f.whole(l)
				return
			}
			for _, j := range l.lost {
				if j.answered.Before(cut.at) {
					t.Errorf("lost, and accepted %v before what is lost was written", cut.at.Sub(j.answered))
				}
			}
			if l.rescued > 0 || l.again[byRescue] > 0 {
				t.Errorf("%d jobs of the living were rescued", l.rescued)
			}
			if len(l.lost)+l.again[byVerdict] == 0 {
				t.Error("nothing was forgotten; was anything cut off?")
			}
		})
	}
}

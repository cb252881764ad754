package faulttest

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/redistest"
)

// outages of one process, while the store is there for others.
var outages = map[string]netfault.State{
	"a cable is out": {Hold: true}, // and no end of a connection is seen
}

// through returns the way to the server that a test can cut, and its URL.
func (s *site) through() (*netfault.Proxy, string) {
	s.Helper()
	proxy, err := netfault.Listen(s.server.Addr)
	s.must(err)
	s.Cleanup(func() { proxy.Close() })
	return proxy, "redis://" + proxy.Addr() + "/0"
}

// Jobs of a process that is cut off go on and run elsewhere, too. Only those count.
func TestCutOffJobsGoOn(t *testing.T) {
	t.Parallel()
	together(t, outages, func(t *testing.T, outage netfault.State) {
		s := onRedis(t, redistest.AOF())
		proxy, url := s.through()
		v := s.rivals(url, shortLease)
		v.begin(all...)
		proxy.Set(outage)
		v.late.give(during)
		v.late.hears(len(all)-1, "returned") // the one that saves waits for the store
		v.rescue()
		if lines := v.late.lines("told"); len(lines) > 0 {
			t.Errorf("contexts ended while it was cut off: %v", lines)
		}
		proxy.Set(netfault.State{})
		v.back()
		v.settle()
	})
}

// A job that listens ends before anybody else may begin it.
func TestCutOffJobsAreEnded(t *testing.T) {
	t.Parallel()
	together(t, outages, func(t *testing.T, outage netfault.State) {
		s := onRedis(t, redistest.AOF())
		proxy, url := s.through()
		// A sixth of the lease is for a busy machine to hear of its end.
		v := s.rivals(url, ebb.LeaseConfig{TTL: 5 * time.Second, Beat: 400 * time.Millisecond, CutOff: ebb.EndJobs})
		v.begin(all...)
		v.watch(shortLease) // and so is sure of what it sees before the other's lease ends
		proxy.Set(outage)
		v.late.give(during)
		v.rescue()
		for jid, s := range v.jobs {
			if s.Until == during {
				continue
			}
			told, listened := v.late.of(jid, "told")
			returned, over := v.late.of(jid, "returned")
			again, _ := v.other.of(jid, "begun")
			if !listened || again.At.Before(told.At) {
				t.Errorf("%s began elsewhere at %v, and its context ended at %v", jid, again.At, told.At)
			}
			if s.Ends != endsTold {
				continue
			}
			if !over || again.At.Before(returned.At) {
				t.Errorf("%s began elsewhere at %v, and had ended at %v", jid, again.At, returned.At)
			}
			t.Attr("between", again.At.Sub(returned.At).Round(time.Millisecond).String()+" from the end of a job that listens until its next run")
		}
		proxy.Set(netfault.State{})
		v.back()
		v.settle()
	})
}

package faulttest

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/redistest"
)

var serverKills = flag.Int("faults.kills", 2, "how often a server is killed for each of its settings")

// kept makes a server keep an append-only file that is synced as fsync says.
func kept(fsync string) redistest.Option {
	return redistest.Args("--appendonly", "yes", "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0")
}

// The end of the server's process alone takes nothing along that it had written, however
// seldom it syncs: the kernel has it.
func TestRedisIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, fsync string
		end         func(*redistest.Server)
		written     bool // not before it has written what it answered for
	}{
		{name: "restarted, everysec", fsync: "everysec", end: (*redistest.Server).Stop},
		{name: "killed, everysec, all written", fsync: "everysec", end: (*redistest.Server).Kill, written: true},
		{name: "killed, always", fsync: "always", end: (*redistest.Server).Kill},
		{name: "killed, no", fsync: "no", end: (*redistest.Server).Kill},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := onRedis(t, kept(tt.fsync)).traffic()
			way, url := f.proxy()
			f.hire(url)
			f.hire(url)
			f.produce(url)
			for range *serverKills {
				f.flow(20)
				<-time.After(rand.N(50 * time.Millisecond))
				if tt.written {
					way.Set(netfault.State{Hold: true})
					f.written()
				}
				tt.end(f.server)
				way.Cut()
				way.Set(netfault.State{})
				<-time.After(rand.N(200 * time.Millisecond))
				f.server.Restart()
			}
			f.flow(20)
			f.whole(f.settle())
		})
	}
}

package faulttest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// pair is a primary, a replica that gets its copy over a network that fails on
// demand, and a sentinel.
type pair struct {
	*traffic
	primary, replica, sentinel *redistest.Server
	copying                    *netfault.Proxy
}

// atOnce makes a primary copy to a new replica without waiting for a second one.
var atOnce = redistest.Args("--repl-diskless-sync-delay", "0")

func newPair(t *testing.T, parameters string, options ...redistest.Option) *pair {
	t.Helper()
	p := &pair{primary: redistest.Start(t, append(options, atOnce)...)}
	var err error
	if p.copying, err = netfault.Listen(p.primary.Addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.copying.Close() })
	host, port, _ := net.SplitHostPort(p.copying.Addr())
	p.replica = redistest.Start(t, redistest.Args("--replicaof", host+" "+port), atOnce)
	p.sentinel = redistest.StartSentinel(t, "main", p.primary)
	// A sentinel would soon make the replica copy without a detour.
	p.sentinel.Do("SENTINEL", "SET", "main", "failover-timeout", "60000")
	p.traffic = open(t, "redis-sentinel://"+p.sentinel.Addr+"/main/0"+parameters, p.primary).traffic()
	p.await("replica", func() bool {
		return strings.Contains(p.replica.Do("INFO", "replication"), "master_link_status:up")
	})
	return p
}

// failover is what a primary is set to, and how long its replica gets nothing before
// it is killed.
type failover struct {
	parameters string // of the URL
	options    []redistest.Option
	behind     time.Duration
	forgets    bool
}

var failovers = map[string]failover{
	"asynchronous": {behind: time.Second, forgets: true},
	"wait=1":       {parameters: "?wait=1", behind: time.Second},
}

// A replica that is promoted may lack what its primary had answered last. How much
// that can be is a matter of settings; that the fleet goes on with what there is, is
// not.
func TestAReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	together(t, failovers, func(t *testing.T, o failover) {
		p := newPair(t, o.parameters, o.options...)
		p.hire(p.url)
		p.hire(p.url)
		p.produce(p.url)
		p.flow(50)
		held := time.Now()
		p.copying.Set(netfault.State{Hold: true})
		<-time.After(o.behind)
		p.primary.Kill()
		p.copying.Cut()
		p.sentinel.Do("SENTINEL", "SET", "main", "failover-timeout", "1000")
		redistest.StartReplica(t, p.replica) // somebody puts another one in its place
		p.flow(50)
		l := p.settle()
		for _, j := range l.lost {
			if j.answered.Before(held) {
				t.Errorf("lost, and accepted %v before the replica fell behind", held.Sub(j.answered))
			}
		}
		if l.rescued > 0 || l.again[byRescue] > 0 {
			t.Errorf("%d jobs of the living were rescued", l.rescued)
		}
		if forgot := len(l.lost) > 0; forgot != o.forgets {
			t.Errorf("%d accepted jobs are gone", len(l.lost))
		}
	})
}

// offset is how much a primary has written for its replicas.
func offset(info string) (n int) {
	_, text, _ := strings.Cut(info, "master_repl_offset:")
	fmt.Sscan(text, &n)
	return n
}

// A push that arrives again may do so over a new connection, and WAIT is about what
// has been written over its own.
func TestAPushThatArrivesAgainIsWrittenAgain(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t, atOnce)
	redistest.StartReplica(t, primary)
	s := open(t, primary.URL(), primary)
	st, by := s.client.Store(), store.NewIdentity()
	item := store.Item{JID: "a", Queue: "q", Kind: "Errand", Payload: []byte(`{"class":"Errand","jid":"a","queue":"q","args":[]}`)}
	for lane, put := range []func(context.Context, store.Call, ...store.Item) ([]store.Result, error){st.Push, st.Schedule} {
		call := store.Call{By: by, Lane: store.LanePush + lane, Seq: 1}
		_, err := put(t.Context(), call, item)
		s.must(err)
		before := offset(primary.Do("INFO", "replication"))
		again, err := put(t.Context(), call, item)
		s.must(err)
		const ping = 20 // which a primary sends now and then
		if n := offset(primary.Do("INFO", "replication")) - before; !again[0].Repeated || n <= ping {
			t.Errorf("lane %d: %+v, and wrote %d bytes", lane, again, n)
		}
	}
}

package redisstore_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// suspicion is how long the lease of a ringer lasts that is not heard; aliveFor is what
// it lasts otherwise. One is long enough for a slow machine, or short for who waits for
// its end.
const (
	suspicion = 10 * time.Second
	short     = time.Second
	aliveFor  = time.Minute
)

// ringer is a process that beats only when its doorbell rings, and once at first: what
// it does in time it does because of that.
type ringer struct {
	*boot
	mu   sync.Mutex
	deaf bool // it does not beat
	got  []store.Command
}

// ringing starts a process with a doorbell, and returns once others can hear it.
func ringing(t *testing.T, server *redistest.Server, url string, suspicion time.Duration) *ringer {
	t.Helper()
	r := mute(t, url, suspicion)
	eventually(t, "doorbell", func() bool { return inRing(server, r.id) })
	return r
}

// mute starts a process that may never be heard.
func mute(t *testing.T, url string, suspicion time.Duration) *ringer {
	t.Helper()
	r := &ringer{boot: &boot{Store: open(t, url), t: t, id: store.NewIdentity(), queues: []store.Share{{Queue: "q"}}}}
	rung := make(chan struct{}, 1)
	ring := func() {
		select {
		case rung <- struct{}{}:
		default:
		}
	}
	p := r.presence()
	p.Suspicion, p.Ring = suspicion, ring
	ring()
	ctx := t.Context()
	var beating sync.WaitGroup
	beating.Go(func() {
		for {
			select {
			case <-rung:
			case <-ctx.Done():
				return
			}
			r.mu.Lock()
			deaf := r.deaf
			r.mu.Unlock()
			if deaf {
				continue
			}
			orders, _ := r.Beat(ctx, p, aliveFor)
			r.mu.Lock()
			r.got = append(r.got, orders.Commands...)
			r.mu.Unlock()
		}
	})
	t.Cleanup(beating.Wait)
	return r
}

func (r *ringer) setDeaf(deaf bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = deaf
}

func (r *ringer) commands() []store.Command {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func inRing(server *redistest.Server, id store.Identity) bool {
	return slices.ContainsFunc(strings.Split(server.Do("ZRANGE", "ebb:doorbells", "0", "-1"), "\n"), func(member string) bool {
		return strings.HasPrefix(member, string(id)+" ")
	})
}

// leaseOf is what is left of a process's lease; 0: it has none.
func leaseOf(t *testing.T, server *redistest.Server, id store.Identity) time.Duration {
	t.Helper()
	end, err := strconv.ParseFloat(server.Do("ZSCORE", "ebb:holders", string(id)), 64)
	if err != nil {
		return 0
	}
	now, _, _ := strings.Cut(server.Do("TIME"), "\n")
	seconds, _ := strconv.ParseFloat(now, 64)
	return time.Duration((end/1000 - seconds) * float64(time.Second))
}

func suspected(t *testing.T, server *redistest.Server, id store.Identity) bool {
	t.Helper()
	left := leaseOf(t, server, id)
	return left > 0 && left <= suspicion+time.Second // TIME is read in whole seconds
}

// orphans are the identities that Orphans lists.
func (b *boot) orphans() (ids []store.Identity) {
	b.t.Helper()
	lost, err := b.Orphans(b.t.Context(), 100)
	b.must(err)
	for _, l := range lost {
		ids = append(ids, l.ID)
	}
	return ids
}

// A process that ends without a word is an orphan as soon as its suspicion allows.
func TestVanishedIsSuspected(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	gone, watcher := ringing(t, server, server.URL(), short), start(t, server.URL(), "q")
	if look := watcher.beat().Look; look != 0 {
		t.Errorf("look in %v while all are well", look)
	}
	gone.push("q", "a")
	held := gone.fetch(1)
	gone.Close()
	var orders store.Orders
	eventually(t, "suspicion", func() bool { orders = watcher.beat(); return orders.Look > 0 })
	if orders.Look > short+100*time.Millisecond {
		t.Errorf("look in %v, want at most %v and a little", orders.Look, short)
	}
	eventually(t, "counting down", func() bool { return watcher.beat().Look < orders.Look })
	eventually(t, "the lease's end", func() bool { return slices.Contains(watcher.orphans(), gone.id) })
	lost, err := watcher.Orphans(t.Context(), 10)
	watcher.must(err)
	n, err := watcher.Rescue(t.Context(), store.Salvage{ID: gone.id, Cause: lost[0].Cause, Seen: lost[0].Seen, Jobs: []store.Rescued{{Token: held[0].Token, Was: held[0].Payload}}})
	if n != 1 || err != nil {
		t.Errorf("rescued %d: %v", n, err)
	}
	if inRing(server, gone.id) {
		t.Error("it is in the ring although it has been rescued")
	}
	if look := watcher.beat().Look; look != 0 {
		t.Errorf("look in %v for one that has been rescued", look)
	}
	watcher.balanced()
}

// All doorbells end at once; those who live say so, and are not rescued.
func TestCutDoorbells(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	alive, watcher := ringing(t, server, server.URL(), suspicion), start(t, server.URL(), "q")
	alive.setDeaf(true) // so that there is time to suspect it
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	eventually(t, "suspicion", func() bool { return watcher.beat().Look > 0 && suspected(t, server, alive.id) })
	eventually(t, "another connection", func() bool {
		return strings.HasSuffix(server.Do("PUBSUB", "NUMSUB", "ebb:bell:"+string(alive.id)), "\n1")
	})
	alive.setDeaf(false) // and the first call of the new one, too, was not heard
	eventually(t, "a beat", func() bool { return !suspected(t, server, alive.id) })
	eventually(t, "the way back into the ring", func() bool { return inRing(server, alive.id) })
	if look := watcher.beat().Look; look != 0 || suspected(t, server, alive.id) {
		t.Errorf("look in %v, lease %v", look, leaseOf(t, server, alive.id))
	}
	if gone := watcher.orphans(); len(gone) > 0 {
		t.Errorf("%v are orphans", gone)
	}
}

// A process that its network takes away for a moment is back in time.
func TestCutNetwork(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy, err := netfault.Listen(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	alive, watcher := ringing(t, server, "redis://"+proxy.Addr(), suspicion), start(t, server.URL(), "q")
	proxy.Set(netfault.State{Refuse: true})
	cut := time.Now()
	eventually(t, "suspicion", func() bool { return watcher.beat().Look > 0 && time.Since(cut) > 500*time.Millisecond })
	proxy.Set(netfault.State{})
	eventually(t, "a beat", func() bool { watcher.beat(); return !suspected(t, server, alive.id) })
	eventually(t, "the way back into the ring", func() bool { return inRing(server, alive.id) })
	if gone := watcher.orphans(); len(gone) > 0 {
		t.Errorf("%v are orphans", gone)
	}
}

// A process whose doorbell cannot work is never suspected, and loses nothing else.
func TestMuteDoorbells(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]string{
		"no channels":  {"resetchannels"},
		"no subscribe": {"allchannels", "-subscribe"},
		"no pub/sub":   {"allchannels", "-@pubsub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			server.Do(append([]string{"ACL", "SETUSER", "ebb", "on", ">secret", "~*", "+@all"}, rules...)...)
			m, watcher := mute(t, "redis://ebb:secret@"+server.Addr, suspicion), start(t, server.URL(), "q")
			eventually(t, "warning", func() bool {
				warnings := strings.Join(m.Describe().Warnings, "\n")
				return strings.Contains(warnings, "shows only when its lease ends") && strings.Contains(warnings, "give the ACL user")
			})
			eventually(t, "beat", func() bool { return leaseOf(t, server, m.id) > suspicion+time.Second })
			watcher.must(m.Command(t.Context(), watcher.id, store.Command{Verb: store.Quiet}))
			if orders := watcher.beat(); len(orders.Commands) != 1 || orders.Look != 0 {
				t.Errorf("%+v", orders)
			}
			m.push("q", "a")
			m.must(m.Ack(t.Context(), m.call(store.LaneVerdict), store.Done{Token: m.fetch(1)[0].Token}))
			m.Close()
			for range 3 {
				if look := watcher.beat().Look; look != 0 || inRing(server, m.id) || suspected(t, server, m.id) {
					t.Fatalf("look in %v, in the ring %v, lease %v", look, inRing(server, m.id), leaseOf(t, server, m.id))
				}
			}
		})
	}
}

// The rights that the documents give are enough for all.
func TestDocumentedRights(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, _ := strings.Cut(string(text), "ACL SETUSER ")
	rules, _, found := strings.Cut(rules, "```")
	if !found {
		t.Fatal("the documents name no rights")
	}
	server := redistest.Start(t)
	server.Do(append([]string{"ACL", "SETUSER"}, strings.Fields(rules)...)...)
	r := ringing(t, server, "redis://ebb:password@"+server.Addr, suspicion)
	for _, w := range r.Describe().Warnings {
		if !strings.Contains(w, "appendonly") {
			t.Errorf("warns: %s", w)
		}
	}
	r.push("q", "a")
	r.must(r.Ack(t.Context(), r.call(store.LaneVerdict), store.Done{Token: r.fetch(1)[0].Token}))
	r.must(r.Command(t.Context(), r.id, store.Command{Verb: store.Quiet}))
	eventually(t, "command", func() bool { return len(r.commands()) == 1 })
	r.must(r.Leave(t.Context(), r.call(store.LaneVerdict), store.Farewell{ID: r.id, Report: store.StopReport{ID: r.id}}))
}

// One without a doorbell, such as a process of an older release, is not in the ring and
// not suspected, whatever becomes of its connections.
func TestNoDoorbell(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	old, watcher := start(t, server.URL(), "q"), ringing(t, server, server.URL(), suspicion)
	old.Close()
	watcher.setDeaf(true)
	for range 3 {
		if orders := watcher.beat(); orders.Look != 0 {
			t.Fatalf("%+v", orders)
		}
	}
	if left := leaseOf(t, server, old.id); left <= suspicion+time.Second {
		t.Errorf("%v are left of its lease", left)
	}
}

// Who is asked for, in rings of every shape.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	many := strings.Fields("n1 n2 n3 n4 n5 n6 n7 n8 n9")
	tests := []struct {
		name     string
		ring     []string // beside m
		heard    []string
		leases   []string // nil: all of the ring
		cut      []string
		stays    []string // in the ring; nil: all
		unlisted bool     // m has no doorbell
	}{
		{name: "nobody else"},
		{name: "one", ring: []string{"a"}, cut: []string{"a"}},
		{name: "one that is heard", ring: []string{"a"}, heard: []string{"a"}},
		{name: "the next three", ring: many, heard: many[2:3], cut: many[:2]},
		{name: "round the end", ring: []string{"a", "b", "c", "n"}, heard: []string{"n"}, cut: []string{"a", "b"}},
		{name: "all before", ring: []string{"a", "b", "c", "d"}, heard: []string{"a"}, cut: []string{"b", "c"}},
		{name: "similar names", ring: []string{"m:1", "m:1:x:y", "m:1:xy", "m:1:x0"}, heard: []string{"m:1", "m:1:xy"}, cut: []string{"m:1:x:y", "m:1:x0"}},
		{name: "a host with all its processes", ring: append([]string{"z"}, many...), heard: []string{"z"}, cut: many},
		{name: "without a doorbell", unlisted: true, ring: many, heard: many[:2], cut: many[2:3]},
		{name: "rescued by others", ring: many[:3], leases: many[:2], cut: many[:2], stays: many[:2]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			listen(t, server, tt.heard...)
			leases := tt.leases
			if leases == nil {
				leases = tt.ring
			}
			for _, id := range tt.ring {
				server.Do("ZADD", "ebb:doorbells", "0", id+" 500")
			}
			far := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
			for _, id := range leases {
				server.Do("ZADD", "ebb:holders", far, id)
			}
			m := &boot{Store: open(t, server.URL()), t: t, id: "m:1:x"}
			p := m.presence()
			if !tt.unlisted {
				p.Suspicion = suspicion
			}
			beat := func() {
				_, err := m.Beat(t.Context(), p, aliveFor)
				m.must(err)
			}
			beat()
			if !tt.unlisted {
				eventually(t, "doorbell", func() bool { beat(); return inRing(server, m.id) })
			}
			var cut []string
			for _, id := range leases {
				if server.Do("ZSCORE", "ebb:holders", id) != far {
					cut = append(cut, id)
				}
			}
			slices.Sort(cut)
			want := slices.Sorted(slices.Values(tt.cut))
			if diff := cmp.Diff(want, cut); diff != "" {
				t.Errorf("suspected (-want +got):\n%s", diff)
			}
			stays := tt.stays
			if stays == nil {
				stays = tt.ring
			}
			for _, id := range tt.ring {
				if got, want := inRing(server, store.Identity(id)), slices.Contains(stays, id); got != want {
					t.Errorf("%s is in the ring: %v, want %v", id, got, want)
				}
			}
			if got := inRing(server, m.id); got == tt.unlisted {
				t.Errorf("m is in the ring: %v", got)
			}
		})
	}
}

// listen is heard at the doorbells of ids until the test ends.
func listen(t *testing.T, server *redistest.Server, ids ...string) {
	t.Helper()
	if len(ids) == 0 {
		return
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	channels := make([]string, len(ids))
	for i, id := range ids {
		channels[i] = "ebb:bell:" + id
	}
	conn, _ := client.Dedicate()
	t.Cleanup(conn.Close)
	conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) {}})
	if err := conn.Do(t.Context(), conn.B().Subscribe().Channel(channels...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// What a beat costs does not depend on how many processes and clients there are.
func TestNeighboursCostTheSame(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Args("--maxclients", "3000"))
	alive := ringing(t, server, server.URL(), suspicion)
	alive.setDeaf(true)
	m := start(t, server.URL(), "q")
	// cost is what the server did for a hundred beats: how many calls, and how long it
	// took over the scripts at best.
	cost := func() (calls int, took float64) {
		for round := range 5 {
			server.Do("CONFIG", "RESETSTAT")
			for range 20 {
				m.beat()
			}
			stats := server.Do("INFO", "commandstats")
			calls = 0
			for line := range strings.Lines(stats) {
				var n, usec int
				var each float64
				name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
				if _, err := fmt.Sscanf(rest, "calls=%d,usec=%d,usec_per_call=%f", &n, &usec, &each); err != nil {
					continue
				}
				if strings.Contains(name, "numsub") || strings.Contains(name, "zset") || strings.HasPrefix(name, "cmdstat_z") {
					calls += n
				}
				if name == "cmdstat_evalsha" && (round == 0 || each < took) {
					took = each
				}
			}
		}
		return calls, took
	}
	others := func(n int) {
		ids, doorbells, holders := make([]string, n), []string{"ZADD", "ebb:doorbells"}, []string{"ZADD", "ebb:holders"}
		far := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
		for i := range ids {
			ids[i] = fmt.Sprintf("host%04d:%d:%012x", i, i, i)
			doorbells, holders = append(doorbells, "0", ids[i]+" 1000"), append(holders, far, ids[i])
		}
		server.Do(doorbells...)
		server.Do(holders...)
		listen(t, server, ids...)
	}
	others(3)
	calls, took := cost()
	others(1000)
	const clients = 1000
	for range clients {
		conn, err := net.Dial("tcp", server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	manyCalls, manyTook := cost()
	if calls == 0 || manyCalls != calls {
		t.Errorf("%d calls with 3 processes, %d with 1,000 and %d clients more", calls, manyCalls, clients)
	}
	if took == 0 || manyTook > 4*took {
		t.Errorf("%.1f µs a script with 3 processes, %.1f with 1,000 and %d clients more", took, manyTook, clients)
	}
}

// A command arrives although the process would not beat for a long time.
func TestCommandRings(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r, other := ringing(t, server, server.URL(), suspicion), start(t, server.URL(), "q")
	want := store.Command{Verb: store.Quiet}
	other.must(other.Command(t.Context(), r.id, want))
	eventually(t, "command", func() bool { return slices.Contains(r.commands(), want) })
}

// Whoever leaves is out of the ring, and a late beat does not bring it back.
func TestLeftDoorbell(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r, watcher := ringing(t, server, server.URL(), suspicion), start(t, server.URL(), "q")
	call := r.call(store.LaneVerdict)
	for range 2 { // the second time its caller has not heard the answer
		r.must(r.Leave(t.Context(), call, store.Farewell{ID: r.id, Report: store.StopReport{ID: r.id}}))
	}
	eventually(t, "the doorbell's end", func() bool { return strings.HasSuffix(server.Do("PUBSUB", "NUMSUB", "ebb:bell:"+string(r.id)), "\n0") })
	p := r.presence()
	p.Suspicion = suspicion
	if _, err := r.Beat(t.Context(), p, aliveFor); err == nil {
		t.Error("a beat after it left")
	}
	if inRing(server, r.id) || watcher.beat().Look != 0 {
		t.Error("it is in the ring although it has left")
	}
	if got := server.Do("EXISTS", "ebb:doorbells"); got != "0" {
		t.Errorf("the ring is still there: %s", server.Do("ZRANGE", "ebb:doorbells", "0", "-1"))
	}
}

// A full server suspects, forgets and lists as any other.
func TestDoorbellsOfAFullServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	gone, watcher := ringing(t, server, server.URL(), suspicion), start(t, server.URL(), "q")
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
	gone.Close()
	eventually(t, "suspicion", func() bool { return watcher.beat().Look > 0 && suspected(t, server, gone.id) })
	ringing(t, server, server.URL(), suspicion)
	server.Do("DEL", "ebb:holders")
	eventually(t, "forgetting who has no lease", func() bool { watcher.beat(); return !inRing(server, gone.id) })
}

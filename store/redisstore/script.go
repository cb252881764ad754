package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

//go:embed scripts/*.lua
var sources embed.FS

// script is a Lua script as the server knows it.
type script struct{ source, sha string }

// load puts a script together from its files.
func load(names ...string) *script {
	var b strings.Builder
	for _, name := range names {
		source, err := sources.ReadFile("scripts/" + name + ".lua")
		if err != nil {
			panic(err) // a name in this file is wrong
		}
		b.Write(source)
	}
	sum := sha1.Sum([]byte(b.String()))
	return &script{source: b.String(), sha: hex.EncodeToString(sum[:])}
}

var (
	pushScript       = load("push")
	scheduleScript   = load("schedule")
	fetchScript      = load("fetch")
	ackScript        = load("ack")
	shelveScript     = load("held", "shelve")
	requeueScript    = load("held", "requeue")
	checkpointScript = load("held", "checkpoint")
	leaveScript      = load("held", "depart", "leave")
	rescueScript     = load("held", "depart", "rescue")
	moveScript       = load("held", "pluck", "move")
	undoableScript   = load("room", "held", "pluck", "move")
	undoScript       = load("held", "pluck", "undo")
	recordScript     = load("record")
	swapScript       = load("swap")
	deliverScript    = load("deliver")
	farewellScript   = load("depart", "farewell")
	beatScript       = load("beat")
	heartbeatScript  = load("heartbeat")
	claimScript      = load("claim")
	dueScript        = load("due")
	reserveScript    = load("reserve")
	suspectScript    = load("suspect")
	neighboursScript = load("neighbours")
	auditScript      = load("audit")
	statsScript      = load("stats")
	unboxScript      = load("unbox")
	pauseScript      = load("pause")
	tallyScript      = load("tally")
	runsScript       = load("runs")
	seriesScript     = load("series")
	endedScript      = load("ended")
	markScript       = load("mark")
)

// request is one script call, or one command where script is nil.
type request struct {
	script     *script
	keys, args []string
	once       bool // it must not be sent again when its reply was lost
	optional   bool // the server may refuse it, and the others count all the same

	whole   bool  // the server does not know the script: send its source
	refused error // what the server said to an optional one
}

func (r *request) build(b rueidis.Builder) rueidis.Completed {
	switch {
	case r.script == nil:
		return b.Arbitrary(r.args[0]).Keys(r.keys...).Args(r.args[1:]...).Build()
	case r.whole:
		return b.Eval().Script(r.script.source).Numkeys(int64(len(r.keys))).Key(r.keys...).Arg(r.args...).Build()
	default:
		return b.Evalsha().Sha1(r.script.sha).Numkeys(int64(len(r.keys))).Key(r.keys...).Arg(r.args...).Build()
	}
}

// command is a request for a plain command: its name, its key, its other arguments.
func command(name, key string, args ...string) *request {
	return &request{keys: []string{key}, args: append([]string{name}, args...)}
}

const (
	// A server that restarts, loads or hands over is given this long before an
	// error goes up to the caller.
	patience  = 2 * time.Second
	firstWait = 10 * time.Millisecond
	longWait  = 200 * time.Millisecond
)

// do sends requests in one go and returns their replies in order. It repeats those
// that are safe to repeat for a short while, and returns the first error that is
// left, with the replies of the others.
func (s *Store) do(ctx context.Context, requests ...*request) ([]rueidis.RedisMessage, error) {
	return s.exchange(ctx, s.send, requests)
}

// swift is do for the few kinds of calls that make up nearly all traffic, of which
// hardly two are ever under way: each goes over a connection that nobody shares, with
// no other goroutine between the caller and the socket. A caller whose ctx is
// cancelled gets the answer all the same; a deadline is kept.
func (s *Store) swift(ctx context.Context, requests ...*request) ([]rueidis.RedisMessage, error) {
	return s.exchange(ctx, s.sendAlone, requests)
}

type sender func(ctx context.Context, requests []*request, pending []int) []rueidis.RedisResult

func (s *Store) exchange(ctx context.Context, send sender, requests []*request) ([]rueidis.RedisMessage, error) {
	replies := make([]rueidis.RedisMessage, len(requests))
	if len(requests) == 0 {
		return replies, s.ended(ctx)
	}
	pending := make([]int, len(requests))
	for i := range pending {
		pending[i] = i
	}
	wait := firstWait
	for deadline := time.Now().Add(patience); ; wait = min(2*wait, longWait) {
		if err := s.ended(ctx); err != nil {
			return replies, err
		}
		var failed []int
		var failure error
		hopeless, pause := false, false
		for n, result := range send(ctx, requests, pending) {
			i := pending[n]
			reply, err := result.ToMessage()
			if err == nil || rueidis.IsRedisNil(err) {
				replies[i] = reply
				continue
			}
			if isNoScript(err) {
				failed = append(failed, i)
				requests[i].whole = true
				continue
			}
			again, maybe := s.judge(err)
			if requests[i].optional && !again && !maybe {
				requests[i].refused = err
				continue
			}
			failed = append(failed, i)
			pause = true
			if !again || maybe && requests[i].once {
				hopeless = true
			}
			if failure == nil || hopeless {
				failure = err
			}
		}
		if len(failed) == 0 {
			return replies, nil
		}
		if pause && (hopeless || time.Now().After(deadline)) {
			return replies, s.explain(ctx, failure)
		}
		if pending = failed; !pause {
			continue
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return replies, s.explain(ctx, failure)
		case <-s.closing:
			return replies, s.explain(ctx, failure)
		}
	}
}

func (s *Store) send(ctx context.Context, requests []*request, pending []int) []rueidis.RedisResult {
	return sendOver(ctx, s.client, requests, pending)
}

// uncancelled is a context that ends by its deadline only. With any other the client
// would start goroutines for its connection, to be able to leave a reply behind.
type uncancelled struct{ context.Context }

func (uncancelled) Done() <-chan struct{} { return nil }

func (s *Store) sendAlone(ctx context.Context, requests []*request, pending []int) []rueidis.RedisResult {
	client, err := s.alone.get(s.option)
	if err != nil {
		results := make([]rueidis.RedisResult, len(pending))
		for n := range results {
			results[n] = rueidis.NewErrorResult(err)
		}
		return results
	}
	return sendOver(uncancelled{ctx}, client, requests, pending)
}

func sendOver(ctx context.Context, client rueidis.Client, requests []*request, pending []int) []rueidis.RedisResult {
	if len(pending) == 1 {
		return []rueidis.RedisResult{client.Do(ctx, requests[pending[0]].build(client.B()))}
	}
	commands := make(rueidis.Commands, len(pending))
	for n, i := range pending {
		commands[n] = requests[i].build(client.B())
	}
	return client.DoMulti(ctx, commands...)
}

// alone is a client that gives each call a connection of its own, from those that
// are not in use. It is made when it is first needed.
type alone struct {
	mu     sync.Mutex
	client rueidis.Client
	closed bool
}

func (a *alone) get(option rueidis.ClientOption) (rueidis.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, store.ErrClosed
	}
	if a.client == nil {
		option.DisableAutoPipelining, option.BlockingPoolCleanup = true, time.Minute
		option.ReadBufferEachConn, option.WriteBufferEachConn, option.RingScaleEachConn = 16<<10, 16<<10, 8
		client, err := rueidis.NewClient(option)
		if err != nil {
			return nil, err
		}
		a.client = client
	}
	return a.client, nil
}

func (a *alone) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed = true; a.client != nil {
		a.client.Close()
	}
}

// one is do for a single request.
func (s *Store) one(ctx context.Context, r *request) (rueidis.RedisMessage, error) {
	replies, err := s.do(ctx, r)
	return replies[0], err
}

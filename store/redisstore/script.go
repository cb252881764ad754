package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"
	"time"

	"github.com/redis/rueidis"
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
	ackScript        = load("held", "ack")
	shelveScript     = load("held", "shelve")
	requeueScript    = load("held", "requeue")
	checkpointScript = load("held", "checkpoint")
	leaveScript      = load("held", "depart", "leave")
	rescueScript     = load("held", "depart", "rescue")
	moveScript       = load("held", "move")
	deliverScript    = load("deliver")
	farewellScript   = load("depart", "farewell")
	beatScript       = load("beat")
	heartbeatScript  = load("heartbeat")
	claimScript      = load("claim")
	dueScript        = load("due")
	suspectScript    = load("suspect")
	unboxScript      = load("unbox")
	pauseScript      = load("pause")
)

// request is one script call, or one command where script is nil.
type request struct {
	script     *script
	keys, args []string
	once       bool // it must not be sent again when its reply was lost

	whole bool // the server does not know the script: send its source
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
		for n, result := range s.send(ctx, requests, pending) {
			i := pending[n]
			reply, err := result.ToMessage()
			if err == nil || rueidis.IsRedisNil(err) {
				replies[i] = reply
				continue
			}
			failed = append(failed, i)
			if isNoScript(err) {
				requests[i].whole = true
				continue
			}
			pause = true
			again, maybe := s.judge(err)
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
	if len(pending) == 1 {
		return []rueidis.RedisResult{s.client.Do(ctx, requests[pending[0]].build(s.client.B()))}
	}
	commands := make(rueidis.Commands, len(pending))
	for n, i := range pending {
		commands[n] = requests[i].build(s.client.B())
	}
	return s.client.DoMulti(ctx, commands...)
}

// one is do for a single request.
func (s *Store) one(ctx context.Context, r *request) (rueidis.RedisMessage, error) {
	replies, err := s.do(ctx, r)
	return replies[0], err
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

// kinds of errors by what the server says. Servers before 7 put the words of an
// error inside a script somewhere in the middle, so they are looked for anywhere.
var kinds = []struct {
	words    string
	sentinel error  // what it is to callers; nil: nothing they branch on
	again    bool   // soon it may be otherwise, and the request was not carried out
	hint     string // the one thing to try
}{
	{"WRONGPASS", nil, false, "check the user and the password in the URL: redis://user:password@host:6379/0"},
	{"NOAUTH", nil, false, "the server asks for a password: redis://:password@host:6379/0"},
	{"NOPERM", nil, false, "give the ACL user the commands and the keys that docs/reference lists"},
	{"LOADING", store.ErrUnreachable, true, "the server is still loading its data; try again"},
	{"BUSY ", store.ErrUnreachable, true, "a script of another client keeps the server busy; SCRIPT KILL ends one that has written nothing"},
	{"MASTERDOWN", store.ErrUnreachable, true, "the replica has lost its primary; wait for the failover"},
	{"CLUSTERDOWN", store.ErrUnreachable, true, "the cluster is not complete; look at CLUSTER INFO"},
	{"TRYAGAIN", store.ErrUnreachable, true, "the cluster is moving slots; try again"},
	{"READONLY You can't write", store.ErrReadOnly, true, "this server is a replica: name the primary, or use redis-sentinel://"},
	{"NOREPLICAS", store.ErrReadOnly, true, "min-replicas-to-write is not met; look at the replicas"},
	{"MISCONF", store.ErrReadOnly, false, "the server cannot write its snapshot; look at its log and its disk"},
	{"OOM command not allowed", errMemory, false, "the server has reached maxmemory: give it more, or let workers drain the queues"},
	{"CROSSSLOT", nil, false, "this is a cluster: add ?layout=cluster to the URL"},
	{"MOVED ", nil, false, "this is a cluster: add ?layout=cluster to the URL"},
	{"invalid DB index", nil, false, "the server has fewer databases: write redis://host:6379/0"},
	{"DB index is out of range", nil, false, "the server has fewer databases: write redis://host:6379/0"},
	{"WRONGTYPE", nil, false, "a key of that name holds something else; keep ebb's jobs in a database of their own"},
	{"unknown command", nil, false, "ebb needs Redis 6.2 or Valkey"},
}

// errMemory is told from store.ErrFull by the caller: only what brings new jobs in
// finds the store full.
var errMemory = errors.New("the server is out of memory")

// kindOf returns the index of what the server said in kinds, or -1.
func kindOf(err error) int {
	if _, ok := errors.AsType[*rueidis.RedisError](err); !ok {
		return -1
	}
	return kindOfText(err.Error())
}

func kindOfText(said string) int {
	for i, k := range kinds {
		if strings.Contains(said, k.words) {
			return i
		}
	}
	return -1
}

func isNoScript(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && e.IsNoScript()
}

// judge tells whether a request that failed with err may be sent again, and whether
// it may have been carried out all the same. Whatever looks like an outage is noted
// for the next beat.
func (s *Store) judge(err error) (again, maybe bool) {
	if e, ok := errors.AsType[*rueidis.RedisError](err); ok {
		k := kindOf(e)
		if again = k >= 0 && kinds[k].again; again {
			s.outages.Add(1)
		}
		return again, false
	}
	if errors.Is(err, context.Canceled) {
		return false, true
	}
	s.outages.Add(1)
	return !errors.Is(err, context.DeadlineExceeded), true
}

// explain makes an error of the client's one that callers and people understand.
func (s *Store) explain(ctx context.Context, err error) error {
	if k := kindOf(err); k >= 0 {
		said := err
		if kinds[k].sentinel != nil {
			said = fmt.Errorf("%w: %w", kinds[k].sentinel, err)
		}
		return store.WithHint(said, "%s", kinds[k].hint)
	}
	if _, ok := errors.AsType[*rueidis.RedisError](err); ok {
		return err
	}
	if ended := s.ended(ctx); ended != nil {
		if !errors.Is(ended, context.DeadlineExceeded) {
			return ended
		}
		// The time is up; what it went by with is worth telling.
		if !errors.Is(err, ended) {
			err = fmt.Errorf("%w: %w", ended, err)
		}
	}
	return store.WithHint(fmt.Errorf("%w: %s: %w", store.ErrUnreachable, s.shown, err),
		"look whether the server runs and can be reached from here: %s ping", s.cli())
}

// cli is how a person asks the server.
func (s *Store) cli() string {
	addr := s.option.InitAddress[0]
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "redis-cli -s " + addr
	}
	return "redis-cli -h " + host + " -p " + port
}

// ended is why nothing may be sent any more, or nil.
func (s *Store) ended(ctx context.Context) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
		return ctx.Err()
	}
}

// wrap names the edge that failed.
func wrap(edge string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redisstore: %s: %w", edge, err)
}

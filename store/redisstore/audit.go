package redisstore

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

const (
	// A claim to be the auditor outlasts the minute between two looks.
	auditorFor = 2 * time.Minute
	// The server may keep millions of keys that are not ebb's. One look takes a few
	// tens of milliseconds of its time at most, in pieces, and the next goes on there.
	auditPages = 50
)

// auditor is how far a process has come that looks for holders without a lease.
type auditor struct {
	mu      sync.Mutex
	cursors map[string]string // by node; none: from the beginning
}

// Audit registers holders that have no lease.
func (s *Store) Audit(ctx context.Context, by store.Identity, d time.Duration) ([]store.Identity, error) {
	found, err := s.audit(ctx, by, d)
	return found, wrap("audit", err)
}

func (s *Store) audit(ctx context.Context, by store.Identity, d time.Duration) ([]store.Identity, error) {
	if by != "" {
		reply, err := s.one(ctx, &request{script: claimScript, keys: []string{s.fleet("ebb:auditor")},
			args: []string{string(by), strconv.FormatInt(auditorFor.Milliseconds(), 10)}})
		if err != nil {
			return nil, err
		}
		if n, err := reply.AsInt64(); err != nil || n == 0 {
			return nil, err
		}
	}
	grips, err := s.grips(ctx, by != "")
	if err != nil {
		return nil, err
	}
	claims, err := s.unclaimed(ctx, grips)
	if err != nil || d <= 0 {
		return claimants(claims), err
	}
	return s.register(ctx, claims, d)
}

// grip is a hash of jobs: who holds them, and from where.
type grip struct {
	queue string
	id    store.Identity
}

// grips lists the hashes that the server has, whoever is known to hold something:
// part of them, and then it goes on there the next time, or all.
func (s *Store) grips(ctx context.Context, part bool) ([]grip, error) {
	a := &auditor{cursors: map[string]string{}}
	pages := 0
	if part {
		a, pages = &s.auditor, auditPages
		a.mu.Lock()
		defer a.mu.Unlock()
	}
	found := map[grip]bool{}
	for addr, node := range s.client.Nodes() {
		next, err := s.gripsOn(ctx, node, a.cursors[addr], pages, found)
		if err != nil {
			return nil, err
		}
		if a.cursors == nil {
			a.cursors = map[string]string{}
		}
		a.cursors[addr] = next
	}
	return slices.Collect(maps.Keys(found)), nil
}

// gripsOn adds to found what one node has, from cursor on and at most so many pages,
// or all, and returns where to go on.
func (s *Store) gripsOn(ctx context.Context, node rueidis.Client, cursor string, pages int, found map[grip]bool) (string, error) {
	send := func(ctx context.Context, requests []*request, pending []int) []rueidis.RedisResult {
		return sendOver(ctx, node, requests, pending)
	}
	for page := 1; ; page++ {
		if cursor == "" {
			cursor = "0"
		}
		replies, err := s.exchange(ctx, send, []*request{{args: []string{
			"SCAN", cursor, "MATCH", "ebb:{queue:*}:held:*", "COUNT", strconv.Itoa(window), "TYPE", "hash",
		}}})
		if err != nil {
			return "", err
		}
		keys, err := replies[0].AsScanEntry()
		if err != nil {
			return "", err
		}
		for _, key := range keys.Elements {
			if g, ok := s.readGrip(key); ok {
				found[g] = true
			}
		}
		cursor = strconv.FormatUint(keys.Cursor, 10)
		if cursor == "0" || page == pages {
			return cursor, nil
		}
	}
}

var unescaper = strings.NewReplacer("%25", "%", "%7B", "{", "%7D", "}")

// readGrip takes the name of a hash apart, as held puts it together.
func (s *Store) readGrip(key string) (g grip, ok bool) {
	const middle = "}:held:"
	at := strings.LastIndex(key, middle)
	queue, ok := strings.CutPrefix(key[:max(at, 0)], "ebb:{queue:")
	// No identity has a brace; this is another key of a queue that is named so.
	if !ok || strings.ContainsAny(key[at+len(middle):], "{}") {
		return g, false
	}
	if s.cluster {
		queue = unescaper.Replace(queue)
	}
	g = grip{queue, store.Identity(key[at+len(middle):])}
	return g, key == s.held(g.queue, g.id)
}

// claim is what one slot has in the name of a process without a lease there.
type claim struct {
	id     store.Identity
	queues []string
}

func claimants(claims []claim) []store.Identity {
	var ids []store.Identity
	for _, c := range claims {
		ids = append(ids, c.id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// unclaimed are the grips of those who have no lease.
func (s *Store) unclaimed(ctx context.Context, grips []grip) (claims []claim, err error) {
	requests := make([]*request, len(grips))
	for i, g := range grips {
		requests[i] = command("ZSCORE", s.holders(g.queue), string(g.id))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, g := range grips {
		if !replies[i].IsNil() {
			continue
		}
		slot := s.last(g.queue, g.id)
		n, known := at[slot]
		if !known {
			n = len(claims)
			at[slot] = n
			claims = append(claims, claim{id: g.id})
		}
		claims[n].queues = append(claims[n].queues, g.queue)
	}
	return claims, nil
}

// register gives each of them a lease, and makes known the queues that they hold from.
func (s *Store) register(ctx context.Context, claims []claim, d time.Duration) ([]store.Identity, error) {
	var requests []*request
	for _, c := range claims {
		r := &request{script: auditScript, keys: []string{s.last(c.queues[0], c.id), s.holders(c.queues[0])},
			args: []string{string(c.id), strconv.FormatInt(d.Milliseconds(), 10)}}
		for _, q := range c.queues {
			r.keys = append(r.keys, s.held(q, c.id))
		}
		requests = append(requests, command("SADD", s.fleet("ebb:queues"), c.queues...), r)
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	var given []claim
	for i, c := range claims {
		if n, err := replies[2*i+1].AsInt64(); err == nil && n == 1 {
			given = append(given, c)
		}
	}
	return claimants(given), nil
}

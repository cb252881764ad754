package redisstore

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

func init() {
	for scheme := range examples {
		store.Register(scheme, func(ctx context.Context, url string) (store.Store, error) { return Open(ctx, url) })
	}
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Archiver = (*Store)(nil)
)

// The version of what ebb writes, and the oldest ebb that can work beside it.
const (
	version   = 1
	minReader = 1
)

// Store is a Redis or Valkey server, a pair of them behind Sentinel, or a cluster.
type Store struct {
	config
	client      rueidis.Client // shared by all calls but the most frequent
	alone       alone          // for these, and for what waits
	description store.Description

	pushes, schedules gatherer

	offset  atomic.Int64 // the server's clock less ours, in µs
	outages atomic.Int64 // moments at which the server was not there

	blockers blockers
	aged     ration // of the dead set
	rubies   rubies
	auditor  auditor

	mu     sync.Mutex
	boots  map[store.Identity]*boot
	served map[store.Identity][]string // the queues of each process, as Stats read them
	mute   string                      // why doorbells do not work; empty if they may

	enlisted map[string]bool // queues that this client has made known, in a cluster

	closing chan struct{}
	close   sync.Once
	busy    sync.WaitGroup // what Close waits for
}

// boot is what this client knows of one process that it speaks for.
type boot struct {
	queues   map[string]bool // that it may hold from
	asked    map[int]uint64  // highest Seq of a Fetch, by lane
	beaten   bool
	outages  int64     // as of its last beat
	until    time.Time // end of its lease, no later than in the store
	rtt      time.Duration
	shown    time.Time // when people were last shown it
	state    string    // as it was shown
	commands []string  // given by the last beat; the next one removes them
	bell     *doorbell // nil: it has none
	left     bool
	counting counting
	marked   bool // when its release began
}

// Open connects to the server that url names. It waits a short while for one that
// is still loading; the error of one that cannot be used names what to try.
//
//	redis://[user:password@]host:6379/0          rediss:// with TLS
//	unix:///run/redis/redis.sock?db=0
//	redis-sentinel://[user:password@]host1:26379,host2:26379/name/0
//
// Parameters: layout=cluster for Redis Cluster, without Ruby; wait=n for a Push that
// returns when n replicas have it, too; connections=few for a process that waits on
// one connection instead of on one for each queue; sentinel_user, sentinel_password.
func Open(ctx context.Context, url string) (*Store, error) {
	c, err := parse(url)
	if err != nil {
		return nil, err
	}
	s := &Store{config: c, boots: map[store.Identity]*boot{}, enlisted: map[string]bool{}, closing: make(chan struct{})}
	s.pushes.send, s.schedules.send = s.sendPushes, s.sendSchedules
	option := c.option
	option.DialCtxFn = s.dial()
	if s.client, err = rueidis.NewClient(option); err != nil {
		return nil, wrap("open", s.explain(ctx, err))
	}
	if err := s.look(ctx); err != nil {
		s.client.Close()
		return nil, wrap("open", err)
	}
	return s, nil
}

// dial connects and notes each connection that takes the place of another one.
func (s *Store) dial() func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	var known sync.Map
	sentinels := s.option.Sentinel.MasterSet != ""
	return func(ctx context.Context, addr string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
		conn, err := s.connect(ctx, addr, d, config)
		switch {
		case err != nil, sentinels && slices.Contains(s.option.InitAddress, addr):
			return conn, err
		case !s.cluster:
			addr = "" // another server in the place of the first is an outage as well
		}
		if _, again := known.LoadOrStore(addr, true); again {
			s.outages.Add(1)
		}
		return conn, nil
	}
}

// connect opens a connection as the URL asks for.
func (s *Store) connect(ctx context.Context, addr string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
	switch {
	case s.option.DialCtxFn != nil:
		return s.option.DialCtxFn(ctx, addr, d, config)
	case config != nil:
		return (&tls.Dialer{NetDialer: d, Config: config}).DialContext(ctx, "tcp", addr)
	}
	return d.DialContext(ctx, "tcp", addr)
}

// look finds out what the server is, and leaves our mark on it.
func (s *Store) look(ctx context.Context) error {
	const meta = "ebb:meta"
	requests := []*request{command("HMGET", meta, "layout", "min_reader"), command("SMEMBERS", s.fleet("ebb:queues"))}
	if !s.cluster {
		requests = append(requests, ring(""))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return err
	}
	s.hears(requests[len(requests)-1].refused)
	layout := "sidekiq"
	if s.cluster {
		layout = "cluster"
	}
	found, _ := replies[0].ToArray()
	was, _ := found[0].ToString()
	reader, _ := found[1].AsInt64()
	switch {
	case reader > version:
		return store.WithHint(fmt.Errorf("%w: it asks for version %d", store.ErrTooNew, reader), "upgrade ebb")
	case was != "" && was != layout:
		return store.WithHint(fmt.Errorf("this server's jobs are kept in the layout %q, not %q", was, layout), "open it with ?layout=%s", was)
	}
	info := s.info(ctx)
	s.description = s.describe(info, func(name string) string { return s.setting(ctx, name) })
	if info["role"] == "slave" {
		return nil // it can be looked at
	}
	// Neither is worth refusing to open for: a server that is full or may not be
	// written says so when it is asked to keep a job.
	if was == "" {
		s.do(ctx, command("HSET", meta, "layout", layout, "version", strconv.Itoa(version), "min_reader", strconv.Itoa(minReader)))
	}
	s.unbox(ctx, texts(replies[1]))
	return ctx.Err()
}

// describe makes sense of what the server tells of itself. An ACL may hide that.
func (s *Store) describe(info map[string]string, setting func(name string) string) store.Description {
	d := store.Description{
		Driver: "redis", URL: s.shown, Hosts: true, RubyShares: !s.cluster,
		Durability: "unknown: the server does not show its settings",
		Wake:       fmt.Sprintf("pushed, by a blocking move for each of at most %d queues; by tracking beyond", maxWaits),
	}
	switch {
	case s.cluster:
		d.Wake = "polled"
	case s.few:
		d.Wake = "pushed, by tracking"
	}
	number := cmp.Or(info["valkey_version"], info["redis_version"])
	name := "Redis"
	if info["server_name"] == "valkey" || info["valkey_version"] != "" {
		name = "Valkey"
	}
	if number != "" {
		d.Server = name + " " + number
		if older(info["redis_version"], 6, 2) {
			d.Warnings = append(d.Warnings, d.Server+" is older than 6.2, the first that ebb works with")
		}
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		d.Warnings = append(d.Warnings, "maxmemory-policy is "+policy+": the server may throw jobs away; set it to noeviction")
	}
	switch info["aof_enabled"] {
	case "1":
		d.Durability = "append-only file"
		switch setting("appendfsync") {
		case "always":
			d.Durability += ", on disk when the call returns"
		case "everysec":
			d.Durability += ", synced each second: a crash of the machine may lose that second"
		case "no":
			d.Durability += ", synced when the system likes: a crash of the machine may lose half a minute"
		}
	case "0":
		d.Durability = "snapshots at most: a crash of the server loses what came after the last one"
		d.Warnings = append(d.Warnings, "appendonly is no: the server forgets jobs when it crashes; set it to yes")
	}
	if s.replicas > 0 {
		d.Durability += fmt.Sprintf("; a push is on %d replicas when it returns", s.replicas)
	}
	if s.cluster {
		d.Durability += "; a move to another queue may double a job if the mover is killed, never lose one"
	}
	if info["role"] == "slave" {
		d.Warnings = append(d.Warnings, "the server is a replica: it can be looked at, and keeps no jobs")
	}
	return d
}

func (s *Store) info(ctx context.Context) map[string]string {
	info := map[string]string{}
	reply, err := s.one(ctx, &request{args: []string{"INFO"}})
	if err != nil {
		return info
	}
	text, _ := reply.ToString()
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			info[name] = value
		}
	}
	return info
}

func (s *Store) setting(ctx context.Context, name string) string {
	reply, err := s.one(ctx, &request{args: []string{"CONFIG", "GET", name}})
	if err != nil {
		return ""
	}
	values, _ := reply.AsStrMap()
	return values[name]
}

func older(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(first)
	b, _ := strconv.Atoi(second)
	return err == nil && (a < major || a == major && b < minor)
}

// Describe tells what was found when the store was opened, and whether the ends of
// processes can be seen at once.
func (s *Store) Describe() store.Description {
	d := s.description
	d.Warnings = slices.Clone(d.Warnings)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute != "" {
		d.Warnings = append(d.Warnings, s.mute)
	}
	return d
}

// Close lets go of all connections. It ends waits, and returns when they have ended.
func (s *Store) Close() error {
	s.close.Do(func() {
		s.mu.Lock()
		close(s.closing)
		s.mu.Unlock()
		s.busy.Wait()
		s.client.Close()
		s.blockers.close()
		s.alone.close()
	})
	return nil
}

// enter begins something that Close waits for until s.busy.Done. It does not once
// Close has begun.
func (s *Store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return false
	default:
		s.busy.Add(1)
		return true
	}
}

// now is the server's time as far as we know it; for stamps and names of days only.
func (s *Store) now() time.Time {
	return time.Now().Add(time.Duration(s.offset.Load()) * time.Microsecond)
}

// learn notes the server's clock, in µs.
func (s *Store) learn(micros int64) { s.offset.Store(micros - time.Now().UnixMicro()) }

// boot returns what is known of id; the caller holds s.mu.
func (s *Store) boot(id store.Identity) *boot {
	b := s.boots[id]
	if b == nil {
		b = &boot{queues: map[string]bool{}, asked: map[int]uint64{}, counting: counting{told: map[label]store.Runs{}}}
		s.boots[id] = b
	}
	return b
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

// doorbell is a connection on which a process listens to a channel of its own. It
// serves both sides: whoever leaves a command rings, so that the process beats at once
// and takes it; and the server sees the connection end when the process does, which
// three others ask for with each of their beats. What they find is a hint and no proof,
// since connections end for many reasons: the lease is shortened, and any beat of the
// process restores it.
//
// So a process that sees its doorbell down rings itself, until a beat has been answered
// that takes it out of the ring, and again once it listens anew, to be put back. One
// whose listening the server never sees, because a proxy is between them or the user
// may not, never gets into the ring, and loses nothing but the haste.
type doorbell struct {
	s       *Store
	channel string
	left    chan struct{} // closed once the process has left
	unseen  chan struct{} // capacity 1: the server does not see anybody listen

	mu   sync.Mutex
	ring func()
	sight
	told uint64 // turn of the last beat that was answered
	seen bool   // by the server, since it is up; false while it is down
}

// sight is what a process sees of its own doorbell.
type sight struct {
	up   bool
	turn uint64 // rises whenever up changes
}

const (
	bellPrefix = "ebb:bell:" // of the channels' names
	ringEvery  = 300 * time.Millisecond
	// The longest pauses before it listens anew: where the server is away, and where
	// it is of no use.
	awayLast   = 3 * time.Second
	unseenLast = time.Minute
	// lateness is what a rescuer adds to the moment at which a lease ends.
	lateness = 5 * time.Millisecond
)

var errUnseen = errors.New("the server does not see who subscribes; there may be a proxy in between")

// ring makes a process beat at once, if it listens.
func ring(id store.Identity) *request {
	return &request{args: []string{"PUBLISH", bellPrefix + string(id), ""}, optional: true}
}

// neighbours asks for those who can no longer be heard.
func (s *Store) neighbours(u *pulse) *request {
	short := "0"
	if u.sight.up {
		short = strconv.FormatInt(max(u.p.Suspicion, 0).Milliseconds(), 10)
	}
	return &request{script: neighboursScript, keys: []string{s.doorbells(), s.holders("")}, args: []string{string(u.p.ID), bellPrefix, short}, optional: true}
}

// listened reads the answer to neighbours, and says when to look for orphans.
func (s *Store) listened(u *pulse, refused error, reply rueidis.RedisMessage) (look time.Duration) {
	answer, err := reply.AsIntSlice()
	if err != nil || len(answer) != 2 {
		s.hears(refused)
		answer = []int64{-1, -1}
	}
	listeners, end := answer[0], answer[1]
	if u.sight.up && listeners > 0 {
		s.hears(nil)
	}
	if u.bell != nil {
		u.bell.answered(u.sight, listeners)
	}
	if end < 0 {
		return 0
	}
	return time.Duration(end)*time.Millisecond + lateness
}

// hang gives a process its doorbell with its first beat that is answered.
func (s *Store) hang(ctx context.Context, u *pulse) {
	if u.bell != nil || u.p.Suspicion <= 0 || !s.enter() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boot(u.p.ID)
	if b.bell != nil || b.left {
		s.busy.Done()
		return
	}
	b.bell = &doorbell{
		s: s, channel: bellPrefix + string(u.p.ID), ring: u.p.Ring,
		left: make(chan struct{}), unseen: make(chan struct{}, 1),
	}
	go b.bell.run(context.WithoutCancel(ctx))
}

// unhang ends the doorbell of a process that has left, if it has one. A late beat does
// not give it another. A second call does nothing.
func (s *Store) unhang(id store.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boot(id)
	if b.bell != nil && !b.left {
		close(b.bell.left)
	}
	b.left = true
}

// hears notes why doorbells do not work; nil: they do.
func (s *Store) hears(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = ""
	if err != nil {
		s.mute = fmt.Sprintf("that a process has died shows only when its lease ends, not at once: %v", err)
		if k := kindOf(err); k >= 0 && kinds[k].words == "NOPERM" {
			s.mute += "; give the ACL user the channels ebb:*"
		}
	}
}

// look tells what the process sees, for a beat that is being made up, and takes the
// way to ring it.
func (d *doorbell) look(ring func()) sight {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring = ring
	return d.sight
}

// answered takes note of a beat that was answered, of what the process saw of its
// doorbell when that was made up, and of how many the server saw listen; -1: it does
// not tell.
func (d *doorbell) answered(then sight, listeners int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = max(d.told, then.turn)
	switch {
	case then != d.sight || !d.up:
	case listeners > 0:
		d.seen = true
	case listeners == 0:
		select {
		case d.unseen <- struct{}{}:
		default:
		}
	}
}

// run listens until the process has left or the store is closed.
func (d *doorbell) run(ctx context.Context) {
	defer d.s.busy.Done()
	pause := time.Duration(0)
	for d.await(time.After(pause), nil) == nil {
		seen, err := d.listen(ctx)
		last := awayLast
		if _, refused := rueidis.IsRedisErr(err); !seen && (refused || err == errUnseen) {
			d.s.hears(err)
			last = unseenLast
		}
		if seen {
			pause = 0
		}
		pause = min(max(2*pause, ringEvery), last)
		pause -= rand.N(pause / 4)
	}
}

// listen subscribes and returns when that has ended, with the reason, and whether the
// server has seen it listen.
func (d *doorbell) listen(ctx context.Context) (seen bool, err error) {
	client, err := d.s.alone.get(d.s.option)
	if err != nil {
		return false, err
	}
	conn, _ := client.Dedicate()
	defer conn.Close()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) { d.strike() }})
	asking, cancel := context.WithTimeout(ctx, replyWithin)
	defer cancel()
	if err := conn.Do(asking, conn.B().Subscribe().Channel(d.channel).Build()).Error(); err != nil {
		return false, err
	}
	d.turned(true)
	err = d.await(nil, lost)
	return d.turned(false), err
}

// await returns nil once after has fired, else why there is no more to wait for.
// Meanwhile it rings, for as long as no beat has told others what has changed.
func (d *doorbell) await(after <-chan time.Time, lost <-chan error) error {
	for {
		var again <-chan time.Time
		if d.news() {
			d.strike()
			again = time.After(ringEvery)
		}
		select {
		case <-again:
		case <-after:
			return nil
		case err := <-lost:
			return err
		case <-d.unseen:
			return errUnseen
		case <-d.left:
			return store.ErrLeft
		case <-d.s.closing:
			return store.ErrClosed
		}
	}
}

// turned notes that the doorbell is up or down now, and tells whether the server had
// seen it before.
func (d *doorbell) turned(up bool) (seen bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen = d.seen
	d.up, d.seen = up, false
	d.turn++
	select {
	case <-d.unseen: // said of how it was before
	default:
	}
	return seen
}

func (d *doorbell) news() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.told < d.turn && d.ring != nil
}

func (d *doorbell) strike() {
	d.mu.Lock()
	ring := d.ring
	d.mu.Unlock()
	if ring != nil {
		ring()
	}
}

package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// beater is a process that beats as often as a test looks at it.
func beater(t *testing.T, server *redistest.Server) (s *Store, beat func()) {
	t.Helper()
	s, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, func() {
		t.Helper()
		if _, err := s.Beat(t.Context(), store.Presence{ID: "p:1:x", Suspicion: time.Second, Ring: func() {}}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func hidden(s *Store) bool {
	return strings.Contains(strings.Join(s.Describe().Warnings, "\n"), errUnseen.Error())
}

// A server that does not see who subscribes, as behind some proxies, suspects nobody.
func TestUnseenDoorbell(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, beat := beater(t, server)
	d := &doorbell{s: s, channel: "elsewhere", left: make(chan struct{}), unseen: make(chan struct{}, 1)}
	s.mu.Lock()
	s.boot("p:1:x").bell = d
	s.mu.Unlock()
	s.busy.Add(1)
	go d.run(t.Context())
	await(t, "warning", func() bool {
		if beat(); server.Do("EXISTS", "ebb:doorbells") != "0" {
			t.Fatal("it is in the ring")
		}
		return hidden(s)
	})
}

// A doorbell that is up for the process and not for the server is a connection that has
// ended on one side. It is made anew.
func TestHalfOpenDoorbell(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, beat := beater(t, server)
	listed := func() bool { beat(); return server.Do("ZRANGE", "ebb:doorbells", "0", "-1") == "p:1:x 1000" }
	await(t, "doorbell", listed)
	s.mu.Lock()
	d := s.boot("p:1:x").bell
	s.mu.Unlock()
	before := d.look(nil)
	d.answered(before, 0)
	await(t, "another connection", func() bool {
		now := d.look(nil)
		return now.up && now.turn > before.turn
	})
	await(t, "doorbell", listed)
	if hidden(s) {
		t.Errorf("warns of a doorbell that works: %q", s.Describe().Warnings)
	}
}

// What was said of an earlier connection says nothing of this one.
func TestLateAnswerOfADoorbell(t *testing.T) {
	t.Parallel()
	d := &doorbell{unseen: make(chan struct{}, 1)}
	d.turned(true)
	earlier := d.look(nil)
	d.turned(false)
	d.turned(true)
	d.answered(earlier, 0)
	if len(d.unseen) > 0 {
		t.Error("this connection counts as unseen")
	}
	d.answered(d.look(nil), 0)
	if len(d.unseen) == 0 {
		t.Error("this connection does not count as unseen")
	}
	if d.turned(false); len(d.unseen) > 0 {
		t.Error("the next connection counts as unseen")
	}
}

// As long as a process sees its doorbell down, it is out of the ring: who asks would
// find it silent, and it lives.
func TestDoorbellThatIsDown(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, beat := beater(t, server)
	await(t, "doorbell", func() bool { beat(); return server.Do("EXISTS", "ebb:doorbells") == "1" })
	// Another one subscribes no more.
	server.Do("ACL", "SETUSER", "default", "-subscribe")
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	await(t, "its way out of the ring", func() bool { beat(); return server.Do("EXISTS", "ebb:doorbells") == "0" })
	await(t, "warning", func() bool { return strings.Contains(strings.Join(s.Describe().Warnings, "\n"), "give the ACL user") })
}

func TestDoorbellsAreNotBackedUp(t *testing.T) {
	t.Parallel()
	if ours("ebb:doorbells", "zset") {
		t.Error("a backup has the doorbells of processes that will not be there")
	}
}

package redisstore

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// Between the look of an auditor and what it does a holder may have beaten, or have
// handed over all that it held.
func TestAuditorComesTooLate(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const alive, left = store.Identity("alive:1:000000000000"), store.Identity("left:2:000000000000")
	if _, err := s.Beat(t.Context(), store.Presence{ID: alive}, time.Minute); err != nil {
		t.Fatal(err)
	}
	server.Do("HSET", s.held("q", alive), "field", "payload")
	lease := server.Do("ZSCORE", s.holders("q"), string(alive))
	given, err := s.register(t.Context(), []claim{{alive, []string{"q"}}, {left, []string{"q"}}}, time.Hour)
	if err != nil || len(given) > 0 {
		t.Errorf("registered: %v, %v", given, err)
	}
	if now := server.Do("ZSCORE", s.holders("q"), string(alive)); now != lease {
		t.Errorf("the lease of one who lives ends at %s, not %s", now, lease)
	}
	if now := server.Do("ZSCORE", s.holders("q"), string(left)); now != "" {
		t.Errorf("one who holds nothing has a lease until %s", now)
	}
}

// A Sidekiq with ebb's fetch has a lease a moment before it says who it is. A number of 0
// would be that of everybody to whoever sends it a signal.
func TestProcessThatHasNotSaidWhoItIs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const id = store.Identity("web-1:4711:000000000000")
	if _, err := s.Beat(t.Context(), store.Presence{ID: id}, time.Minute); err != nil {
		t.Fatal(err)
	}
	server.Do("DEL", "ebb:presence")
	all, err := s.Processes(t.Context())
	if err != nil || len(all) != 1 || all[0].PID != 4711 || all[0].Host != "web-1" {
		t.Errorf("processes: %+v, %v", all, err)
	}
}

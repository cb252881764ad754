package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Audit registers holders that nobody has registered.
func (s *Store) Audit(ctx context.Context, _ store.Identity, d time.Duration) ([]store.Identity, error) {
	if err := s.enter(ctx, 0); err != nil {
		return nil, wrap("audit", err)
	}
	defer s.mu.Unlock()
	found := map[store.Identity]bool{}
	for _, j := range s.sets[store.Keeping] {
		if s.processes[j.fetch.By] == nil {
			found[j.fetch.By] = true
		}
	}
	ids := slices.Sorted(maps.Keys(found))
	if d > 0 {
		for _, id := range ids {
			s.processes[id] = &process{Presence: store.Presence{ID: id}, until: s.clock().Add(d), seen: s.nextTicket(), unclaimed: true}
		}
	}
	return ids, nil
}

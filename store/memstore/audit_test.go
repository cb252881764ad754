package memstore

import "github.com/ebbjobs/ebb/store"

// Disown makes the store forget that id is registered.
func (s *Store) Disown(id store.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processes, id)
}

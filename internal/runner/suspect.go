package runner

import (
	"sync"
	"time"
)

// settles is how long a suspect has to run without harm until another one may run
// beside it: many of them at once, each with hours to go, would else wait for days.
const settles = 5 * time.Minute

// suspects lets one suspect at a time run that has not settled, so that a process that
// dies says which job it died of.
type suspects struct {
	mu   sync.Mutex
	busy *Attempt        // nil: none
	told map[string]bool // jids of which the log has said that they wait
}

// enter reports whether a suspect may run now; leave follows when it has returned.
func (s *suspects) enter(a *Attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy != nil {
		return false
	}
	s.busy = a
	return true
}

// leave makes room for another suspect. A second call for the same one does nothing.
func (s *suspects) leave(a *Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == a {
		s.busy = nil
	}
}

const mostTold = 1000 // and then some are told of again

// tell reports whether the log has yet to say that a job waits.
func (s *suspects) tell(jid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told[jid] {
		return false
	}
	if s.told == nil || len(s.told) == mostTold {
		s.told = map[string]bool{}
	}
	s.told[jid] = true
	return true
}

// watch runs a suspect, unless another one is in the way: then it returns errCrowded.
func (s *suspects) watch(a *Attempt, run func() error) error {
	if !s.enter(a) {
		return errCrowded
	}
	defer s.leave(a)
	timer := time.AfterFunc(settles, func() {
		a.settle()
		s.leave(a)
	})
	defer timer.Stop()
	return run()
}

// settle writes down that a suspect has run for a while: if its process dies after
// all, one that had only just begun is the likelier cause.
func (a *Attempt) settle() {
	a.mu.Lock()
	if a.judged || a.lost {
		a.mu.Unlock()
		return
	}
	a.history.Settled = true
	a.changed, a.unsaved = true, true
	a.mu.Unlock()
	a.runner.record.save(a, nil)
}

// clear takes a suspicion back: the handler has returned, and the process lives. What
// happened before stays in the history.
func (a *Attempt) clear() {
	if a.history.Suspect && !a.since.IsZero() {
		a.history.Suspect, a.history.Settled, a.changed = false, false, true
	}
}

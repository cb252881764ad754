package fleet

import (
	"slices"
	"strings"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// State is a process's state in a word: what it said of itself, unless the store
// knows better, which says frozen or lapsed.
func State(p *store.Process) string {
	switch {
	case p.Lapsed:
		return "lapsed"
	case p.Frozen:
		return "frozen"
	}
	return p.State
}

// Queues are the queues of all groups of a process, each once.
func Queues(p *store.Process) []string {
	queues := []string{}
	for _, g := range p.Groups {
		for _, share := range g.Queues {
			if !slices.Contains(queues, share.Queue) {
				queues = append(queues, share.Queue)
			}
		}
	}
	return queues
}

// TakesFrom reports whether a process takes jobs from a queue now.
func TakesFrom(p *store.Process, queue string) bool {
	return State(p) == lifecycle.Running.String() && slices.Contains(Queues(p), queue)
}

// Short is enough of an identity for people: host:pid.
func Short(id store.Identity) string {
	if i := strings.LastIndexByte(string(id), ':'); i > 0 && id.PID() != 0 && strings.Count(string(id), ":") == 2 {
		return string(id[:i])
	}
	return string(id)
}

package runner

import (
	"sync"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
)

// message is an event, and who waits for it to take effect.
type message struct {
	event lifecycle.Event
	heard chan struct{} // nil: nobody waits
}

// inbox holds events until they are heard. It never fills up: there are no more
// than people and platforms send.
type inbox struct {
	mu       sync.Mutex
	messages []message
	closed   bool
	wake     chan struct{} // capacity 1: a level, not a count
}

func (b *inbox) put(m message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.messages = append(b.messages, m)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

func (b *inbox) take() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := b.messages
	b.messages = nil
	return messages
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// notice is what handlers are told of a stop.
type notice struct {
	mu   sync.Mutex
	told chan struct{} // closed once they are told
	kill time.Time
	on   bool
}

func (n *notice) give(kill time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill = kill
	if !n.on {
		n.on = true
		close(n.told)
	}
}

// takeBack is for jobs that ask from here on. Those that were told have been told.
func (n *notice) takeBack() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.on {
		n.on, n.kill, n.told = false, time.Time{}, make(chan struct{})
	}
}

func (n *notice) get() (<-chan struct{}, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told, n.kill
}

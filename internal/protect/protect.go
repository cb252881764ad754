// Package protect keeps a task of Amazon ECS from being chosen by scale-in and
// deployments while it has jobs, by the task scale-in protection endpoint of the
// container agent.
//
// No job begins before the answer to the request that protects its task, and after a
// release none before the answer to that. An agent that refuses or does not answer
// delays the first job after a rest by some seconds and keeps none from running.
package protect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// life is for how long protection is asked for: a process that vanishes keeps its
	// task for so long at most. ECS takes 1 to 2,880 minutes.
	life = time.Hour
	// rest is how long a process has no job before it gives protection back, so that
	// a pause between jobs costs no request: they are throttled for the whole cluster.
	rest = 3 * time.Minute
	// often is how often it looks whether there are jobs.
	often = 5 * time.Second

	// patience is with one request, and farewell with the one at the end.
	patience = 3 * time.Second
	farewell = time.Second

	// The pauses before a failed request is made again double between these.
	minPause = 5 * time.Second
	maxPause = 5 * time.Minute
)

// Keeper holds the protection of the task that this process runs in.
type Keeper struct {
	agent agent
	log   *slog.Logger
	asks  chan chan struct{} // of jobs that wait to begin, each for its own to be closed
	ended chan struct{}

	mu   sync.Mutex
	open bool      // jobs may begin: the task is protected, or that has failed
	used time.Time // when there was a job last

	// These belong to Run.
	state   state
	renew   time.Time     // when protection is half over
	next    time.Time     // when a request may be made after one that failed
	pause   time.Duration // that led there
	failure string        // that was logged, "" if the last request was granted
}

// state is what is known of the task. Where nothing is, as at the start of a container
// whose predecessor may have asked for protection, there may be some to give back.
type state int

const (
	unknown state = iota
	protected
	released
)

// New makes the keeper. It returns an error outside of ECS.
func New(getenv func(string) string, log *slog.Logger) (*Keeper, error) {
	uri := getenv("ECS_AGENT_URI")
	if uri == "" {
		return nil, errors.New("protect: ECS_AGENT_URI is not set: scale-in protection is there only for tasks of Amazon ECS")
	}
	return &Keeper{
		agent: newAgent(uri), log: log, asks: make(chan chan struct{}), ended: make(chan struct{}), used: time.Now(),
	}, nil
}

// Admit waits until jobs that were fetched may begin, or until ctx ends. They must
// count as busy by then.
func (k *Keeper) Admit(ctx context.Context) {
	k.mu.Lock()
	open := k.open
	if open {
		k.used = time.Now()
	}
	k.mu.Unlock()
	if open {
		return
	}
	answer := make(chan struct{})
	select {
	case k.asks <- answer:
	case <-k.ended:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-answer:
	case <-ctx.Done():
	}
}

// Run holds protection while busy says that there are jobs, until ctx ends. It is
// called once, and gives protection back at its end.
func (k *Keeper) Run(ctx context.Context, busy func() bool) {
	defer close(k.ended)
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case answer := <-k.asks:
			if !k.open { // else another one has asked before
				k.request(ctx, true)
				k.admit(true)
			}
			close(answer)
		case <-tick.C:
			k.look(ctx, busy)
		case <-ctx.Done():
			if k.state != released {
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
				defer cancel()
				k.request(last, false)
			}
			return
		}
	}
}

// look makes the request that is due, if one is.
func (k *Keeper) look(ctx context.Context, busy func() bool) {
	now := time.Now()
	k.mu.Lock()
	if busy() {
		k.used = now
	}
	resting := now.Sub(k.used) >= rest
	k.mu.Unlock()
	if now.Before(k.next) {
		return
	}
	switch {
	case resting && (k.open || k.state != released):
		k.admit(false)
		if busy() { // fetched between the two looks, and let in by the open gate
			k.admit(true)
		} else if k.state != released {
			k.request(ctx, false)
		}
	case k.open && busy() && (k.state != protected || !now.Before(k.renew)):
		k.request(ctx, true)
	}
}

// admit lets jobs begin, or makes them ask.
func (k *Keeper) admit(open bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = open
	if open {
		k.used = time.Now()
	}
}

// request asks for protection or gives it back, and says when the next request may
// be made. Protection that is granted is renewed at half its life.
func (k *Keeper) request(ctx context.Context, on bool) {
	before := k.state
	if err := k.agent.put(ctx, on); err != nil {
		k.state = unknown // it may have been heard
		k.pause = min(max(minPause, 2*k.pause), maxPause)
		k.next = time.Now().Add(jitter(k.pause))
		if text := err.Error(); text != k.failure && ctx.Err() == nil {
			k.failure = text
			k.log.Warn("scale-in protection of this task is not as it should be; jobs run all the same", "want", on, "cause", err)
		}
		return
	}
	k.state, k.pause, k.failure, k.next = released, 0, "", time.Time{}
	if on {
		k.state, k.renew = protected, time.Now().Add(life/2)
	}
	if k.state != before {
		k.log.Info("scale-in protection of this task has changed", "protected", on)
	}
}

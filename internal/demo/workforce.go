package demo

import (
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/crew"
)

// workforce is the worker processes of a demo.
type workforce struct {
	command func() *exec.Cmd

	mu      sync.Mutex
	members []*crew.Member
	deaths  []death // not yet told
	ending  bool
	waiting sync.WaitGroup
}

// death is the end of a worker that nobody had asked to end.
type death struct {
	pid  int
	how  string // "signal: killed"
	said string // on standard error
	at   time.Time
}

// start starts a worker.
func (c *workforce) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil
	}
	m, err := crew.Start(c.command())
	if err != nil {
		return err
	}
	c.members = append(c.members, m)
	c.waiting.Go(func() { c.await(m) })
	return nil
}

func (c *workforce) await(m *crew.Member) {
	<-m.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(other *crew.Member) bool { return other == m })
	if !c.ending {
		_, how := m.How()
		c.deaths = append(c.deaths, death{m.PID(), how, m.Said(), m.Ended()})
	}
}

// pids are the workers that live, in the order of their start.
func (c *workforce) pids() (pids []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		pids = append(pids, m.PID())
	}
	return pids
}

// untold returns the deaths that were not told yet, once.
func (c *workforce) untold() []death {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.deaths
	c.deaths = nil
	return told
}

func (c *workforce) kill(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.PID() == pid {
			m.Signal(os.Kill)
		}
	}
}

// stop ends all workers and waits for them. A second call does nothing.
func (c *workforce) stop() {
	c.mu.Lock()
	c.ending = true
	for _, m := range c.members {
		m.Dismiss()
	}
	c.mu.Unlock()
	c.waiting.Wait()
}

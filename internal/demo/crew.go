package demo

import (
	"bytes"
	"io"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// crew is the worker processes of a demo.
type crew struct {
	command func() *exec.Cmd

	mu      sync.Mutex
	members []*member
	deaths  []death // not yet told
	ending  bool
	waiting sync.WaitGroup
}

// member is a worker process that runs.
type member struct {
	cmd    *exec.Cmd
	leash  io.Closer // its standard input, whose end is its end
	stderr bytes.Buffer
}

func (m *member) pid() int { return m.cmd.Process.Pid }

// death is the end of a worker that nobody had asked to end.
type death struct {
	pid  int
	how  string // "signal: killed"
	said string // on standard error
	at   time.Time
}

// start starts a worker. It is not of our process group: a ^C reaches the demo
// alone, which lets the workers finish what they can.
func (c *crew) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil
	}
	m := &member{cmd: c.command()}
	m.cmd.Stderr = &m.stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := m.cmd.StdinPipe()
	if err != nil {
		return err
	}
	m.leash = leash
	if err := m.cmd.Start(); err != nil {
		return err
	}
	c.members = append(c.members, m)
	c.waiting.Go(func() { c.await(m) })
	return nil
}

func (c *crew) await(m *member) {
	m.cmd.Wait()
	at := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
	if !c.ending {
		c.deaths = append(c.deaths, death{m.pid(), m.cmd.ProcessState.String(), m.stderr.String(), at})
	}
}

// pids are the workers that live, in the order of their start.
func (c *crew) pids() (pids []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		pids = append(pids, m.pid())
	}
	return pids
}

// untold returns the deaths that were not told yet, once.
func (c *crew) untold() []death {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.deaths
	c.deaths = nil
	return told
}

// kill sends KILL to a worker, through its handle: the number may be another's by
// now.
func (c *crew) kill(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.pid() == pid {
			m.cmd.Process.Kill()
		}
	}
}

// stop ends all workers and waits for them. A second call does nothing.
func (c *crew) stop() {
	c.mu.Lock()
	c.ending = true
	for _, m := range c.members {
		m.leash.Close()
	}
	c.mu.Unlock()
	c.waiting.Wait()
}

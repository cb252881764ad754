package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/internal/crew"
	"github.com/ebbjobs/ebb/internal/netfault"
)

// place is where a process of the fleet runs, and another one when it has ended.
type place struct {
	target  Target
	command func(name string) *exec.Cmd
	notes   string          // the folder of the notes
	logs    string          // and that of what processes say
	proxy   *netfault.Proxy // before the store; nil: there is none

	mu      sync.Mutex
	member  *crew.Member // nil: nobody, for the moment
	boots   []*boot
	process *deed // what happens to the process now; while that lasts, no other starts
	network *deed // what happens to its network now
	crashes int   // that nobody had asked for
}

const (
	// Between the end of a process and the next one.
	backAfter = 100 * time.Millisecond
	// How long the end of a process may take, which has its grace and a slow machine.
	endsWithin = 6 * grace
	// A program that always ends by itself would do so for ever.
	maxCrashes = 20
	// The exit code of one that could not reach its store, which is no crash.
	storeAway = 69
)

// run keeps a process in the place until ctx ends, and lets the last one end by
// itself.
func (p *place) run(ctx context.Context) error {
	for ctx.Err() == nil {
		m, err := p.start()
		if err != nil {
			return err
		}
		select {
		case <-m.Done():
		case <-ctx.Done():
			m.Dismiss()
			<-m.Done()
		}
		if err := p.ended(m, ctx.Err() != nil); err != nil {
			return err
		}
		for sleep(ctx, backAfter) && p.suffers() {
		}
	}
	return nil
}

// suffers reports whether a place must stay empty.
func (p *place) suffers() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process != nil
}

func (p *place) start() (*crew.Member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &boot{name: fmt.Sprintf("%s-%d", p.label(), len(p.boots)+1), started: time.Now()}
	cmd := p.command(b.name)
	log, err := os.Create(p.log(b))
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	defer log.Close()
	cmd.Stderr = log
	m, err := crew.Start(cmd)
	if err != nil {
		return nil, err
	}
	p.boots = append(p.boots, b)
	if p.network != nil {
		b.deeds = append(b.deeds, p.network)
	}
	p.member = m
	return m, nil
}

func (p *place) log(b *boot) string { return filepath.Join(p.logs, b.name+".log") }

// label is the target as a name of files.
func (p *place) label() string {
	if p.target == producer {
		return "producer"
	}
	return fmt.Sprintf("worker%d", int(p.target))
}

// ended takes note of an end. One that was not wanted, again and again, is an error.
func (p *place) ended(m *crew.Member, wanted bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.member = nil
	b := p.boots[len(p.boots)-1]
	b.ended = m.Ended()
	exit, how := m.How()
	if wanted || p.process != nil || exit == storeAway {
		return nil
	}
	if p.crashes++; p.crashes > maxCrashes {
		return fmt.Errorf("chaos: %v ends by itself, %s; its log is %s", p.target, how, p.log(b))
	}
	return nil
}

// history is everybody who was in the place, as of now.
func (p *place) history() (boots []boot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boots {
		copied := *b
		copied.deeds = nil
		for _, d := range b.deeds {
			copied.deeds = append(copied.deeds, new(*d))
		}
		boots = append(boots, copied)
	}
	return boots
}

// ready waits until there is a process that is at work, and returns it.
func (p *place) ready(ctx context.Context) (*crew.Member, *boot) {
	for {
		p.mu.Lock()
		m, b := p.member, (*boot)(nil)
		if m != nil {
			b = p.boots[len(p.boots)-1]
		}
		p.mu.Unlock()
		if b != nil {
			if _, err := os.Stat(filepath.Join(p.notes, b.name)); err == nil {
				return m, b
			}
		}
		if !sleep(ctx, backAfter/5) {
			return nil, nil
		}
	}
}

// suffer does a step to the process, or to its network, and returns when it is over.
// Whatever lasts ends early if ctx does. It calls told when it begins.
func (p *place) suffer(ctx context.Context, s Step, told func(pid int)) error {
	m, b := p.ready(ctx)
	if m == nil {
		return nil
	}
	now := &p.process
	if s.Fault.onNetwork() {
		now = &p.network
	}
	d := &deed{fault: s.Fault, at: time.Now(), lasts: s.For}
	p.mu.Lock()
	b.deeds, *now = append(b.deeds, d), d
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		d.over, *now = time.Now(), nil
	}()
	told(m.PID())
	switch s.Fault {
	case Kill:
		return p.endFor(ctx, m, os.Kill, s.For)
	case Stop:
		return p.endFor(ctx, m, syscall.SIGTERM, s.For)
	case Freeze:
		if err := m.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		sleep(ctx, s.For)
		return m.Signal(syscall.SIGCONT)
	case Cut:
		p.proxy.Cut()
		return nil
	}
	p.proxy.Set(networks[s.Fault])
	sleep(ctx, s.For)
	p.proxy.Set(netfault.State{})
	return nil
}

// networks are how proxies treat connections while a fault lasts.
var networks = map[Fault]netfault.State{
	Hold: {Hold: true}, Refuse: {Refuse: true}, Mute: {Mute: true}, Delay: {Delay: 250 * time.Millisecond},
}

// endFor ends the process, and leaves its place empty for a while. One that does not
// end is an error.
func (p *place) endFor(ctx context.Context, m *crew.Member, how os.Signal, while time.Duration) error {
	if err := m.Signal(how); err != nil {
		return err
	}
	select {
	case <-m.Done():
	case <-time.After(endsWithin):
		return errors.Join(fmt.Errorf("chaos: %v (%d) has not ended %v after %v", p.target, m.PID(), endsWithin, how), m.Signal(os.Kill))
	}
	sleep(ctx, while)
	return nil
}

// sleep waits for d; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

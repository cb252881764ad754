package chaos

import (
	"context"
	"maps"
	"time"
)

// Phase is how far a run is.
type Phase string

const (
	Starting   Phase = ""           // processes start
	Disturbing Phase = "disturbing" // the plan is carried out
	Settling   Phase = "settling"   // what is left is done, undisturbed
	Ending     Phase = "ending"     // processes end
)

// View is how things are at a moment.
type View struct {
	Phase   Phase
	Took    time.Duration // since the plan began
	Applied int           // steps so far
	Seats   []Seat        // the workers, the producer, and the store if it is ours
	Tally
}

// Seat is one of those to whom things happen.
type Seat struct {
	Target Target
	PID    int // 0: nobody is there
	Jobs   int // that run
	Now    []Doing
}

// Doing is what happens to a seat.
type Doing struct {
	Fault Fault
	Left  time.Duration // as planned
}

func (c *chaos) enter(p Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = p
}

// Between two looks at the notes, and two counts of all of them.
const (
	lookEvery  = 100 * time.Millisecond
	countEvery = 500 * time.Millisecond
)

// watch reads what is noted, and shows it, until ctx ends.
func (c *chaos) watch(ctx context.Context) error {
	for sleep(ctx, lookEvery) {
		if err := c.look(); err != nil {
			return err
		}
	}
	return nil
}

func (c *chaos) look() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.notes.Each(c.ledger.note); err != nil {
		return err
	}
	if time.Since(c.at) > countEvery || c.phase == Ending {
		c.count()
	}
	if c.Show != nil {
		c.Show(c.view())
	}
	return nil
}

// count adds up what was noted so far.
func (c *chaos) count() {
	for _, p := range c.places {
		for _, b := range p.history() {
			c.ledger.boots[b.name] = &b
		}
	}
	var ofStore []*deed
	if c.Server != nil {
		ofStore = c.Server.history()
	}
	c.counted, c.at = c.ledger.tally(ofStore), time.Now()
}

func (c *chaos) view() View {
	v := View{Phase: c.phase, Tally: c.counted}
	if !c.began.IsZero() {
		v.Took = time.Since(c.began)
	}
	for n := range maps.Values(c.applied) {
		v.Applied += n
	}
	for _, p := range append(c.places[1:len(c.places):len(c.places)], c.places[producer]) {
		v.Seats = append(v.Seats, p.seat(c.ledger.busy))
	}
	if c.Server != nil {
		v.Seats = append(v.Seats, c.Server.seat())
	}
	return v
}

func (p *place) seat(busy map[string]int) Seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Seat{Target: p.target}
	if p.member != nil {
		s.PID, s.Jobs = p.member.PID(), busy[p.boots[len(p.boots)-1].name]
	}
	s.Now = doing(p.process, p.network)
	return s
}

func (s *Server) seat() Seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	seat := Seat{Target: server, PID: s.cmd.Process.Pid, Now: doing(s.now)}
	select {
	case <-s.exited:
		seat.PID = 0
	default:
	}
	return seat
}

func doing(deeds ...*deed) (all []Doing) {
	for _, d := range deeds {
		if d != nil {
			all = append(all, Doing{d.fault, max(0, time.Until(d.at.Add(d.lasts)))})
		}
	}
	return all
}

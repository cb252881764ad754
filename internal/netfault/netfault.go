// Package netfault is a network that can fail on demand: a proxy in front of a
// server, through which bytes are delayed, held back, lost or cut off.
package netfault

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// State is how a proxy treats its connections. The zero value lets everything pass.
type State struct {
	// Refuse cuts all connections, and each new one as it is made: the host is up and
	// nobody listens.
	Refuse bool
	// Hold keeps every byte of both directions back, and all connections open: a
	// cable is out. What was held back arrives when this ends.
	Hold bool
	// Mute lets requests pass and loses the replies. A connection that lost one is
	// cut when this ends, as its stream has a hole.
	Mute bool
	// Delay is how long each byte is under way, in each direction.
	Delay time.Duration
}

// Proxy passes connections on to a server.
type Proxy struct {
	listener net.Listener
	upstream string
	running  sync.WaitGroup

	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced by Set
	links   map[*link]bool
	closed  bool
}

// Listen makes a proxy on a free loopback port, for the server at upstream, a
// host:port. It passes everything until Set says otherwise.
func Listen(upstream string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("netfault: listen: %w", err)
	}
	p := &Proxy{listener: l, upstream: upstream, changed: make(chan struct{}), links: map[*link]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes how all connections are treated from now on.
func (p *Proxy) Set(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		if s.Refuse || l.holed && !s.Mute {
			l.cut()
		}
	}
}

// Cut ends every connection with a reset, on both sides, and counts them. New ones
// are treated as before.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
	return len(p.links)
}

// Close cuts all connections and frees the port. A second call does nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	l := &link{client: client, ended: make(chan struct{})}
	if p.now().Refuse {
		l.cut()
		return
	}
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		l.cut()
		return
	}
	l.server = server
	p.mu.Lock()
	if p.closed || p.state.Refuse {
		p.mu.Unlock()
		l.cut()
		return
	}
	p.links[l] = true
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, server, client, false) })
	pumps.Go(func() { p.pump(l, client, server, true) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) now() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// parcel is what was read at once, or the end of a stream.
type parcel struct {
	bytes []byte
	due   time.Time
	err   error
}

// pump carries one direction of a link until either side ends.
func (p *Proxy) pump(l *link, to, from net.Conn, replies bool) {
	parcels := make(chan parcel, 1024)
	go func() {
		defer close(parcels)
		for {
			buf := make([]byte, 64<<10)
			n, err := from.Read(buf)
			select {
			case parcels <- parcel{buf[:n], time.Now().Add(p.now().Delay), err}:
			case <-l.ended:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for parcel := range parcels {
		if !l.wait(time.Until(parcel.due)) || !p.pass(l) {
			return
		}
		if !(replies && len(parcel.bytes) > 0 && p.lost(l)) {
			if _, err := to.Write(parcel.bytes); err != nil {
				l.end()
				return
			}
		}
		if parcel.err != nil {
			l.end()
			return
		}
	}
}

// pass waits while bytes are held back. It reports false once the link has ended.
func (p *Proxy) pass(l *link) bool {
	for {
		p.mu.Lock()
		hold, changed := p.state.Hold, p.changed
		p.mu.Unlock()
		if !hold {
			return !l.over()
		}
		select {
		case <-changed:
		case <-l.ended:
			return false
		}
	}
}

// lost reports whether a reply that came gets lost.
func (p *Proxy) lost(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.holed = l.holed || p.state.Mute
	return p.state.Mute
}

// link is one connection on both sides of the proxy.
type link struct {
	client, server net.Conn
	holed          bool // a reply of it was lost; belongs to the proxy's lock

	once  sync.Once
	ended chan struct{}
}

// cut ends the link with resets, end in order.
func (l *link) cut() { l.close(true) }
func (l *link) end() { l.close(false) }

func (l *link) close(reset bool) {
	l.once.Do(func() {
		close(l.ended)
		for _, c := range []net.Conn{l.client, l.server} {
			if tcp, ok := c.(*net.TCPConn); ok {
				if reset {
					tcp.SetLinger(0)
				}
				tcp.Close()
			}
		}
	})
}

func (l *link) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// wait lets d pass; it reports false if the link ends first.
func (l *link) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ended:
		return false
	}
}

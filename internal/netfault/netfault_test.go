package netfault

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo answers what it is sent, and counts the bytes.
func echo(t *testing.T) (addr string, heard <-chan int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	counts := make(chan int, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 100)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					counts <- n
					c.Write(buf[:n])
				}
			}()
		}
	}()
	return l.Addr().String(), counts
}

func TestProxy(t *testing.T) {
	t.Parallel()
	const patience = 10 * time.Second
	start := func(t *testing.T) (*Proxy, net.Conn, <-chan int) {
		addr, heard := echo(t)
		p, err := Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return p, c, heard
	}
	say := func(t *testing.T, c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(c net.Conn, within time.Duration) error {
		c.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	tests := map[string]func(*testing.T){
		"passes": func(t *testing.T) {
			_, c, _ := start(t)
			say(t, c)
			if err := hear(c, patience); err != nil {
				t.Error(err)
			}
		},
		"delays both directions": func(t *testing.T) {
			p, c, _ := start(t)
			p.Set(State{Delay: 30 * time.Millisecond})
			began := time.Now()
			say(t, c)
			if err := hear(c, patience); err != nil || time.Since(began) < 60*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		},
		"holds back and delivers later": func(t *testing.T) {
			p, c, heard := start(t)
			p.Set(State{Hold: true})
			say(t, c)
			if err := hear(c, 30*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || len(heard) != 0 {
				t.Errorf("%v, and the server heard %d times", err, len(heard))
			}
			p.Set(State{})
			if err := hear(c, patience); err != nil {
				t.Error(err)
			}
		},
		"loses replies, and cuts what has a hole": func(t *testing.T) {
			p, c, heard := start(t)
			p.Set(State{Mute: true})
			say(t, c)
			<-heard
			if err := hear(c, 30*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			p.Set(State{})
			if err := hear(c, patience); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("a stream with a hole in it goes on: %v", err)
			}
		},
		"cuts": func(t *testing.T) {
			p, c, heard := start(t)
			say(t, c)
			<-heard
			if n := p.Cut(); n != 1 {
				t.Errorf("cut %d connections", n)
			}
			if err := hear(c, patience); err == nil {
				err = hear(c, patience)
				if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
					t.Error(err)
				}
			}
		},
		"refuses, and then accepts again": func(t *testing.T) {
			p, c, _ := start(t)
			p.Set(State{Refuse: true})
			if err := hear(c, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a connection outlived the refusal: %v", err)
			}
			if c, err := net.Dial("tcp", p.Addr()); err == nil {
				if err := hear(c, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("a new connection is served: %v", err)
				}
				c.Close()
			}
			p.Set(State{})
			c, err := net.Dial("tcp", p.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			say(t, c)
			if err := hear(c, patience); err != nil {
				t.Error(err)
			}
		},
		"a server's end is a client's": func(t *testing.T) {
			p, c, _ := start(t)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := hear(c, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

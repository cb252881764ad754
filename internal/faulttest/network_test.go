package faulttest

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
)

// proxy puts a network that fails on demand in front of the site's server.
func (s *site) proxy() (p *netfault.Proxy, url string) {
	s.Helper()
	p, err := netfault.Listen(s.server.Addr)
	s.must(err)
	s.Cleanup(func() { p.Close() })
	return p, strings.Replace(s.url, s.server.Addr, p.Addr(), 1)
}

// trouble is what a network does to each of some ways, so many times. It may cut the
// way in the end, or leave it to carry what it has.
type trouble struct {
	times int
	with  func(way *netfault.Proxy, cut bool)
}

var troubles = map[string]trouble{
	"connections are reset": {30, func(way *netfault.Proxy, _ bool) { way.Cut() }},
	"connections are refused": {8, func(way *netfault.Proxy, _ bool) {
		way.Set(netfault.State{Refuse: true})
		<-time.After(rand.N(500 * time.Millisecond))
	}},
	"replies are lost": {12, func(way *netfault.Proxy, _ bool) {
		way.Set(netfault.State{Mute: true})
		<-time.After(rand.N(300 * time.Millisecond))
	}},
}

// Whatever the network does between a server and those who use it, every job is
// stored once and runs once. Each has a way of its own: what fails for some works for
// others, who must leave their jobs alone.
func TestTheNetworkFails(t *testing.T) {
	t.Parallel()
	together(t, troubles, func(t *testing.T, trouble trouble) {
		f := onRedis(t).traffic()
		var ways []*netfault.Proxy
		for _, start := range []func(url string){f.hire, f.hire, f.hire, f.produce, f.produce} {
			way, url := f.proxy()
			start(url)
			ways = append(ways, way)
		}
		f.flow(20)
		for range trouble.times {
			hit := ways[1:] // one sees how the others fare
			if i := rand.IntN(len(ways) + 1); trouble.times > 1 && i < len(ways) {
				hit = ways[i : i+1]
			}
			var troubled sync.WaitGroup
			for i, way := range hit {
				troubled.Go(func() {
					trouble.with(way, i%2 == 0)
					way.Set(netfault.State{})
				})
			}
			troubled.Wait()
			<-time.After(rand.N(50 * time.Millisecond))
		}
		f.flow(20)
		f.whole(f.settle())
	})
}

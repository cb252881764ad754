//go:build slow

package faulttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
	"github.com/ebbjobs/ebb/internal/redistest"
)

// cable connects a host with the server. When it is out every packet is lost, and
// nobody is told.
type cable struct {
	*site
	host    *remote // waits for its post
	url     string  // of the server, as the host sees it
	out, in func()
}

// ways to a host that can be lost, the most real one first. A container may refuse
// the first two.
var ways = []struct {
	name string
	lay  func(t *testing.T) (*cable, error)
}{
	{"a link to another network namespace that goes down", layLink},
	{"a route that turns into a black hole", layRoute},
	{"a proxy that holds everything back", layProxy},
}

func lay(t *testing.T) *cable {
	t.Helper()
	for _, way := range ways {
		c, err := way.lay(t)
		if err == nil {
			t.Attr("way", way.name)
			return c
		}
		t.Logf("not by %s: %v", way.name, err)
	}
	t.Fatal("there is no way to lose a host")
	return nil
}

func shell(format string, args ...any) error {
	script := fmt.Sprintf(format, args...)
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// layLink gives the host a network namespace, which ends with its process and takes
// the link along.
func layLink(t *testing.T) (*cable, error) {
	name := fmt.Sprintf("ebb%07x", rand.N(1<<28))
	subnet := fmt.Sprintf("198.18.%d.", rand.N(256)) // for tests of networks, by RFC 2544
	t.Cleanup(func() { shell("ip link del %sa 2>&1 || true", name) })
	if err := shell("ip link add %[1]sa type veth peer name %[1]sb; ip addr add %[2]s1/24 dev %[1]sa; ip link set %[1]sa up", name, subnet); err != nil {
		return nil, err
	}
	s := onRedis(t, redistest.AOF(), redistest.Args("--bind", "127.0.0.1", subnet+"1", "--protected-mode", "no"))
	host, err := s.launch(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	if err != nil {
		return nil, err
	}
	within := "nsenter --net=/proc/" + strconv.Itoa(host.Process.Pid) + "/ns/net ip"
	if err := shell("ip link set %[1]sb netns %[2]d; %[3]s addr add %[4]s2/24 dev %[1]sb; %[3]s link set %[1]sb up", name, host.Process.Pid, within, subnet); err != nil {
		return nil, err
	}
	return s.cable(host, subnet+"1",
		func() error { return shell("ip link set %sa down", name) },
		func() error { return shell("ip link set %sa up", name) }), nil
}

// layRoute gives the server an address for the host alone.
func layRoute(t *testing.T) (*cable, error) {
	addr := fmt.Sprintf("127.%d.%d.%d", 1+rand.N(254), rand.N(256), 1+rand.N(254))
	in := func() error { return shell("ip route del blackhole %s/32 table local", addr) }
	out := func() error { return shell("ip route add blackhole %s/32 table local", addr) }
	if err := out(); err != nil {
		return nil, err
	}
	t.Cleanup(func() { in() }) // unless it is
	if err := in(); err != nil {
		return nil, err
	}
	s := onRedis(t, redistest.AOF(), redistest.Args("--bind", "127.0.0.1", addr))
	host, err := s.launch(nil)
	if err != nil {
		return nil, err
	}
	return s.cable(host, addr, out, in), nil
}

// layProxy loses no packets, but what they carry.
func layProxy(t *testing.T) (*cable, error) {
	s := onRedis(t, redistest.AOF())
	host, err := s.launch(nil)
	if err != nil {
		return nil, err
	}
	proxy, url := s.through()
	return &cable{
		site: s, host: host, url: url,
		out: func() { proxy.Set(netfault.State{Hold: true}) },
		in:  func() { proxy.Set(netfault.State{}) },
	}, nil
}

func (s *site) cable(host *remote, ip string, out, in func() error) *cable {
	_, port, _ := net.SplitHostPort(s.server.Addr)
	return &cable{
		site: s, host: host, url: "redis://" + net.JoinHostPort(ip, port) + "/0",
		out: func() { s.Helper(); s.must(out()) },
		in:  func() { s.Helper(); s.must(in()) },
	}
}

// The jobs of a host of which nothing is heard any more run elsewhere when its lease
// has ended, and soon. Should it come back, it is late.
func TestLostHost(t *testing.T) {
	t.Parallel()
	c := lay(t)
	c.host.begin(post{URL: c.url, Queues: []string{queue, lateOwn}, Lease: shortLease})
	v := &rivals{site: c.site, late: c.host}
	v.begin(all...)
	v.watch(shortLease)
	<-time.After(shortLease.TTL + shortLease.TTL/2) // from here on it is sure of what it sees

	c.out()
	lost := time.Now()
	end, err := strconv.ParseInt(v.server.Do("ZSCORE", "ebb:holders", string(v.late.record().ID)), 10, 64)
	v.must(err)
	v.late.give(during)
	v.rescue()
	var first, last time.Time
	for _, l := range v.other.lines("begun") {
		if first.IsZero() {
			first = l.At
		}
		last = l.At
	}
	if leaseEnd := time.UnixMilli(end); first.Before(leaseEnd) {
		t.Errorf("the first job ran again %v before the lease had ended", leaseEnd.Sub(first))
	}
	took := last.Sub(lost)
	t.Attr("recovery", fmt.Sprintf("%v from the loss of the host until its last job ran again, with a lease of %v", took.Round(time.Millisecond), shortLease.TTL))
	const busy = 5 * time.Second // what a machine may take that does other things
	if most := shortLease.TTL + 2*time.Second + busy; took > most {
		t.Errorf("it took %v until all jobs ran again, want at most %v", took, most)
	}
	c.in()
	v.back()
	v.settle()
}

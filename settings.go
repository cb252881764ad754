package ebb

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/internal/runner"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// settings are those that took effect, for people who look at the process. They travel
// with each beat, so that they are few.
func (p *Process) settings(o *runner.Options) []store.Setting {
	c := p.config
	var all []store.Setting
	add := func(name, value string, given bool) {
		from := "default"
		if given {
			from = "program"
		}
		all = append(all, store.Setting{Name: name, Value: value, From: cmp.Or(c.Origins[name], from)})
	}
	add("store", p.client.store.Describe().URL, true) // masked
	for i, g := range o.Groups {
		prefix := ""
		if i >= len(o.Groups)-len(c.Groups) {
			prefix = "groups." + g.Name + "."
		}
		given := prefix != "" || len(c.Queues) > 0
		add(prefix+"queues", shares(g), given)
		add(prefix+"concurrency", strconv.Itoa(g.Concurrency), c.slotsGiven(i, len(o.Groups)))
	}
	grace, from := o.Stop.Grace, o.GraceFrom
	if machine, err := lifecycle.New(o.Stop); err == nil && machine.Grace() != grace {
		grace, from = machine.Grace(), "timeout"
	}
	all = append(all, store.Setting{Name: "grace", Value: grace.String(), From: cmp.Or(c.Origins["grace"], from)})
	if c.Stop.Timeout > 0 {
		add("timeout", c.Stop.Timeout.String(), true)
	}
	add("lease.ttl", o.TTL.String(), c.Lease.TTL > 0)
	add("lease.beat", o.Beat.String(), c.Lease.Beat > 0)
	if c.Lease.CutOff == EndJobs {
		add("lease.cut_off", "end", true)
	}
	if c.Release != "" {
		add("release", c.Release, true)
	}
	return all
}

// slotsGiven reports whether the concurrency of a group, of so many, was said.
func (c *Config) slotsGiven(i, all int) bool {
	if i -= all - len(c.Groups); i >= 0 {
		return c.Groups[i].Concurrency != 0
	}
	return c.Concurrency != 0
}

// shares are the queues of a group in words, as -q takes them.
func shares(g store.Group) string {
	words := make([]string, len(g.Queues))
	for i, q := range g.Queues {
		words[i] = q.Queue
		if !g.Strict {
			words[i] = fmt.Sprintf("%s,%d", q.Queue, max(q.Weight, 1))
		}
	}
	return strings.Join(words, " ")
}

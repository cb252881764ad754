package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/chaos"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// chaosCall is one call of ebb chaos.
type chaosCall struct {
	*app
	terms chaos.Terms
	redis bool
}

func newChaos(a *app) *cobra.Command {
	c := &chaosCall{app: a}
	var child chaos.Child
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Kill, stop, freeze and cut off workers, and see that nothing is lost",
		Long: `Run workers and a producer, and disturb them by a plan: kill, stop and freeze them, cut
them off from their store, and the store itself where it is chaos' own. Then let things
settle, and print the ledger: what was accepted, done, run twice and lost, how long it
took until jobs of a process that ended ran again, and whether the books balance.

The plan follows from --seed, --for, --workers, --lease and the kind of store; --dry-run
prints it. Without --seed there is a new one each time, which is told.

The store is an SQLite file of its own or, with --redis, a redis-server of its own, which
must be installed. --store names another one; EBB_STORE and ebb.yml are not looked at, so
that nobody's store is disturbed by habit. Of a store that is named, only the workers of
chaos and the network between them and it are disturbed: the network of a Redis without
TLS, Sentinel and Cluster. Everything happens in a queue that no other process looks at,
and is taken away again; what stays are the stop reports and the books of that queue. It
asks first if the store has other jobs or processes.

^C ends it, and prints how far things were. The exit code is 5 if a job was lost or went
back behind a checkpoint that was acknowledged, or if the books do not balance.`,
		Example: example("ebb chaos --for 2s", "ebb chaos --for 2s --lease 2s --redis", "ebb chaos --seed 1 --for 60s --dry-run   # without it, about a minute and a half"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if child.Name != "" {
				child.Lease = c.terms.Lease
				return a.chaosChild(cmd.Context(), child)
			}
			if !cmd.Flags().Changed("seed") {
				c.terms.Seed = mathrand.Uint64N(1_000_000) // easily typed
			}
			return c.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&c.terms.Seed, "seed", 0, "the `NUMBER` that the plan follows from (default: a new one)")
	f.DurationVar(&c.terms.For, "for", time.Minute, "disturb for so `LONG`")
	f.IntVar(&c.terms.Workers, "workers", 3, "how many worker processes")
	f.DurationVar(&c.terms.Lease, "lease", 12*time.Second, "`LENGTH` of their leases")
	f.BoolVar(&c.redis, "redis", false, "on a redis-server of its own, which is disturbed too")
	f.StringVar(&child.Name, "child", "", "run as a process of this name")
	f.StringVar(&child.Dir, "in", "", "its folder for notes")
	f.StringVar(&child.Queue, "queue", "", "its queue")
	for _, hidden := range []string{"child", "in", "queue"} {
		f.MarkHidden(hidden)
	}
	a.showFlags(cmd)
	a.changeFlags(cmd)
	return cmd
}

// check refuses what makes no plan.
func (c *chaosCall) check() error {
	switch t := c.terms; {
	case t.For < time.Second:
		return usage("--for: %v is less than a second", t.For)
	case t.Workers < 1 || t.Workers > 100:
		return usage("--workers: %d is not between 1 and 100", t.Workers)
	case t.Lease < time.Second:
		return usage("--lease: %v is less than a second", t.Lease)
	case c.redis && c.flags.store != "":
		return usage("--redis starts a server of its own, and --store names another one: give one of them")
	case strings.HasPrefix(c.flags.store, "mem:"):
		return usage("--store: mem: is in one process, and this needs several")
	}
	return nil
}

func (c *chaosCall) kind() chaos.Kind {
	switch {
	case c.redis:
		return chaos.OwnRedis
	case c.flags.store == "":
		return chaos.SQLite
	}
	return chaos.KindOf(c.flags.store)
}

func (c *chaosCall) run(ctx context.Context) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	c.terms.Kind = c.kind()
	given := c.flags.store != ""
	if c.flags.dryRun {
		plan := chaos.Make(c.terms)
		return c.show(newPlanInfo(plan), func(p *page) { p.line("%s", strings.TrimSuffix(plan.String(), "\n")) })
	}
	dir, err := os.MkdirTemp("", "ebb-chaos-")
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if keep {
			c.say("%s what its processes said is in %s", console.Dim("hint:"), dir)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	var server *chaos.Server
	switch {
	case given:
		if err := c.allowed(ctx); err != nil {
			return err
		}
	case c.redis:
		if server, err = chaos.StartServer(ctx, filepath.Join(dir, "redis")); err != nil {
			return err
		}
		defer server.Close()
		c.flags.store = server.URL()
	default:
		c.flags.store = "sqlite:" + filepath.Join(dir, "ebb.db")
	}
	r, err := c.disturb(ctx, dir, server)
	keep = err != nil && ctx.Err() == nil || err == nil && !r.OK() || c.flags.debug
	if err != nil {
		return err
	}
	where := "of its own"
	if given {
		where = "at " + r.Store.URL
	}
	if err := c.show(r, func(p *page) { chaosPage(p, r, where, c.again(given)) }); err != nil {
		return err
	}
	switch {
	case !r.OK():
		return code(exitFindings, store.WithHint(errors.New(chaosFinding(r)), "the same plan again: %s", c.again(given)))
	case r.Interrupted:
		return quietly(exitInterrupted)
	}
	return nil
}

// allowed asks where a store that somebody named is not there for this alone.
func (c *chaosCall) allowed(ctx context.Context) error {
	if err := c.writable(); err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	stats, err := s.Stats(ctx)
	if err != nil {
		return err
	}
	processes, err := s.Processes(ctx)
	if err != nil {
		return err
	}
	jobs := stats.Ready + stats.Held + stats.Scheduled + stats.Retrying + stats.Dead
	if jobs == 0 && len(processes) == 0 {
		return nil
	}
	ok, err := c.confirm(ctx, fmt.Sprintf(`%s is not there for this alone: it has %s and %s.
They are left alone, but the store gets some hundred calls a second for %s, and has
less time for them. Is it a store to try things on?`,
		s.Describe().URL, prose.Plural(jobs, "job"), prose.Plural(len(processes), "process"), prose.Span(c.terms.For)))
	if err == nil && !ok {
		return quietly(exitOK)
	}
	return err
}

func (c *chaosCall) disturb(ctx context.Context, dir string, server *chaos.Server) (r chaos.Report, err error) {
	s, err := c.open(ctx)
	if err != nil {
		return r, err
	}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	var id [3]byte
	rand.Read(id[:])
	o := chaos.Options{
		Terms: c.terms, Store: s, URL: c.flags.store, Server: server, Dir: dir,
		Queue: "ebb-chaos-" + hex.EncodeToString(id[:]),
		Command: func(url string, child chaos.Child) *exec.Cmd {
			cmd := again(self, "chaos", "--child", child.Name, "--in", child.Dir, "--queue", child.Queue, "--lease", child.Lease.String())
			// Not among the arguments, where others see it.
			cmd.Env = append(os.Environ(), "EBB_STORE="+url)
			return cmd
		},
	}
	shown := newChaosView(c.app, c.terms, s.Describe(), o.Queue)
	o.Show, o.Told = shown.show, shown.told
	defer shown.end()
	return chaos.Run(ctx, o)
}

// chaosChild is a process of the fleet. What it says goes to a file.
func (a *app) chaosChild(ctx context.Context, child chaos.Child) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	return child.Run(ctx, client, os.Stdin, a.logFrom(slog.LevelInfo))
}

// again is how the same plan is carried out again.
func (c *chaosCall) again(given bool) string {
	words := []string{"ebb chaos", "--seed", fmt.Sprint(c.terms.Seed), "--for", c.terms.For.String()}
	if c.terms.Workers != 3 {
		words = append(words, "--workers", fmt.Sprint(c.terms.Workers))
	}
	if c.terms.Lease != 12*time.Second {
		words = append(words, "--lease", c.terms.Lease.String())
	}
	switch {
	case c.redis:
		words = append(words, "--redis")
	case given:
		words = append(words, "--store", store.Redact(c.flags.store))
	}
	return strings.Join(words, " ")
}

// planInfo is a plan as it is printed.
type planInfo struct {
	Seed    uint64     `json:"seed"`
	Seconds float64    `json:"for_seconds"`
	Workers int        `json:"workers"`
	Lease   float64    `json:"lease_seconds"`
	Kind    chaos.Kind `json:"kind"`
	Steps   []stepInfo `json:"steps"`
}

type stepInfo struct {
	At     float64     `json:"at_seconds"`
	Target string      `json:"target"`
	Fault  chaos.Fault `json:"fault"`
	For    float64     `json:"for_seconds"`
}

func newPlanInfo(p chaos.Plan) planInfo {
	info := planInfo{Seed: p.Seed, Seconds: p.For.Seconds(), Workers: p.Workers, Lease: p.Lease.Seconds(), Kind: p.Kind}
	for _, s := range p.Steps {
		info.Steps = append(info.Steps, stepInfo{s.At.Seconds(), s.Target.String(), s.Fault, s.For.Seconds()})
	}
	return info
}

package ebb

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// Config says how a [Process] runs. The zero value runs jobs of the queue "default",
// ten at a time. What is wrong with it is told by Run or Start, all at once.
type Config struct {
	// Queues are fetched from in this order: a later one only while those before it
	// are empty. With Weights they are shared out instead. Default: "default", unless
	// there are Groups.
	Queues []string
	// Weights share the slots out among Queues: a queue of weight 3 is looked at first
	// three times as often as one of weight 1. A queue that is not named has weight 1.
	Weights map[string]int
	// Concurrency is how many jobs of Queues run at once. Default: 10.
	Concurrency int
	// Groups are further sets of queues, with slots of their own.
	Groups []Group

	// Stop is about how long things take at the end.
	Stop StopConfig
	// Lease is about how the process and its store keep in touch.
	Lease LeaseConfig
	// Dead limits the dead set, which all processes of a store trim.
	Dead DeadConfig
	// Poison is how many crashes prove that a job brings its processes down, so that it
	// is buried: crashes while it was the only suspect of its process, within three
	// days, and not in a deploy. A job is suspect from its second crash on. Every
	// process judges by its own number. At most 10, which is what a job remembers; a
	// negative number buries none. Default: 3.
	Poison int

	// Release is what stop reports and rollouts call this program's version, Tag what
	// people call the application, and Labels are further words for the process.
	Release, Tag string
	Labels       []string

	// Origins says for people who look at the process where settings come from, by their
	// names in ebb.yml, such as "ebb.yml:12" for "concurrency". Default: this program, or
	// the defaults.
	Origins map[string]string

	// Middleware wraps the run of every job, the first one outermost.
	Middleware []Middleware
	// Logger gets a line for each edge of the lifecycle and each job that did not
	// end well. It never gets arguments. Default: [slog.Default].
	Logger *slog.Logger
	// Socket is where [Process.Run] answers drain hooks and probes of this machine: a
	// folder, or [NoSocket]. Default: the first of /run/ebb, XDG_RUNTIME_DIR and
	// TMPDIR that can be written to. A process runs as well without.
	Socket string
	// Platform is what the process tells the platform it runs on, beside what the
	// platform asks for itself.
	Platform PlatformConfig
}

// Group is a set of queues with slots of its own.
type Group struct {
	// Name is for people. Default: the first queue.
	Name string
	// Queues and Weights are as in [Config]. There must be a queue.
	Queues  []string
	Weights map[string]int
	// Concurrency is how many jobs of these queues run at once. Default: 10.
	Concurrency int
}

// StopConfig says how much time a stop has.
type StopConfig struct {
	// Grace is the time that the platform leaves between its notice and KILL. Default:
	// what EBB_GRACE says, else what is known of the platform, else 10 s.
	Grace time.Duration
	// Timeout ends the contexts of jobs this long after the notice, as Sidekiq's -t
	// does, and must be shorter than Grace. Alone, it means a Grace that is as much
	// longer as handing back takes. Default: what Grace leaves.
	Timeout time.Duration
}

// LeaseConfig says how a process and its store keep in touch.
type LeaseConfig struct {
	// TTL is how long the store waits for a sign of life before the jobs of this
	// process are given to others. Default: 12 s.
	TTL time.Duration
	// Beat is the time between two signs of life. At most a quarter of TTL. Default:
	// 750 ms.
	Beat time.Duration
	// Poll is the longest wait of one fetch. A push ends it at once. Default: 5 s.
	Poll time.Duration
	// CutOff says what becomes of running jobs when the store has not answered for
	// almost a TTL. Default: [KeepRunning].
	CutOff CutOff
}

// CutOff is a policy for a process that its store does not answer. It counts on
// Redis: on SQLite nobody takes jobs from a process that lives, and they go on.
type CutOff int

const (
	// KeepRunning lets jobs finish. If the store was there for others, they have
	// rescued them: such a job runs twice, and the verdict of this run counts for
	// nothing.
	KeepRunning CutOff = iota
	// EndJobs ends their contexts with [ErrLeaseLost] shortly before anybody can
	// rescue them: a job that listens does not run twice at once. For that nobody may
	// suspect the process before its TTL is over: after a KILL its jobs wait for so
	// long, not for a second.
	EndJobs
)

// DeadConfig limits the dead set.
type DeadConfig struct {
	// Max is how many jobs it keeps. Default: 10,000.
	Max int
	// Age is how long it keeps them. Default: 180 days.
	Age time.Duration
}

// PlatformConfig asks for what a platform must allow first. A platform that refuses
// or does not answer stops no work: the log has a line when that begins and when it
// ends.
type PlatformConfig struct {
	// Protect keeps what the process runs in from being chosen by scale-in and
	// deployments while there are jobs: [ProtectECS]. Default: nothing does.
	Protect string
	// PodDeletionCost tells Kubernetes how many jobs run in this pod, so that idle ones
	// go first when there are to be fewer. The pod's service account must be allowed to
	// patch pods, and EBB_POD_NAME or POD_NAME must say which one it is.
	PodDeletionCost bool
	// Spot quiets the process when its cloud gives notice that it takes the machine
	// back, with the hour at which it does: [SpotEC2], [SpotGCE], [SpotAzure], or
	// [SpotAuto]. Default: nobody asks the cloud.
	Spot string
}

// The clouds that give notice, and the wish to find out which one it is.
const (
	SpotAuto  = "auto"
	SpotEC2   = "ec2"
	SpotGCE   = "gce"
	SpotAzure = "azure"
)

// ProtectECS is the scale-in protection of a task of Amazon ECS. Its role needs
// ecs:UpdateTaskProtection.
const ProtectECS = "ecs"

// NoSocket turns the control socket off.
const NoSocket = "none"

const (
	defaultConcurrency = 10
	defaultTTL         = 12 * time.Second
	defaultBeat        = 750 * time.Millisecond
	defaultPoll        = 5 * time.Second
	minBeat            = 10 * time.Millisecond
	maxPoison          = 10
)

// check says everything that is wrong, by the names of the fields.
func (c *Config) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("ebb: Config."+format, args...)) }
	for name, d := range map[string]time.Duration{
		"Stop.Grace": c.Stop.Grace, "Stop.Timeout": c.Stop.Timeout, "Dead.Age": c.Dead.Age,
		"Lease.TTL": c.Lease.TTL, "Lease.Beat": c.Lease.Beat, "Lease.Poll": c.Lease.Poll,
	} {
		if d < 0 {
			wrong("%s: %v is negative", name, d)
		}
	}
	if c.Dead.Max < 0 {
		wrong("Dead.Max: %d is negative", c.Dead.Max)
	}
	if c.Poison > maxPoison {
		wrong("Poison: %d is more than the %d crashes that a job remembers", c.Poison, maxPoison)
	}
	if c.Lease.CutOff != KeepRunning && c.Lease.CutOff != EndJobs {
		wrong("Lease.CutOff: %d is neither KeepRunning nor EndJobs", c.Lease.CutOff)
	}
	if c.Platform.Protect != "" && c.Platform.Protect != ProtectECS {
		wrong("Platform.Protect: %q is not %q", c.Platform.Protect, ProtectECS)
	}
	if !slices.Contains([]string{"", SpotAuto, SpotEC2, SpotGCE, SpotAzure}, c.Platform.Spot) {
		wrong("Platform.Spot: %q is no cloud", c.Platform.Spot)
	}
	if lease := c.lease(); lease.Beat > 0 && lease.Beat < minBeat {
		wrong("Lease.Beat: %v is shorter than %v", lease.Beat, minBeat)
	} else if lease.TTL > 0 && lease.TTL < 4*lease.Beat {
		wrong("Lease.TTL: %v is less than four times the beat of %v", lease.TTL, lease.Beat)
	}
	for i, g := range c.groups() {
		field := "" // the group that Config itself is
		if i -= len(c.groups()) - len(c.Groups); i >= 0 {
			field = fmt.Sprintf("Groups[%d].", i)
		}
		for _, err := range g.problems() {
			wrong("%s%w", field, err)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return slices.Compare([]byte(a.Error()), []byte(b.Error())) })
	return errors.Join(errs...)
}

func (g *Group) problems() (errs []error) {
	if g.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("Concurrency: %d is negative", g.Concurrency))
	}
	if len(g.Queues) == 0 {
		errs = append(errs, errors.New("Queues: there is none"))
	}
	for i, name := range g.Queues {
		if err := checkQueue(name); err != nil {
			errs = append(errs, fmt.Errorf("Queues[%d]: %w", i, err))
		}
		if slices.Contains(g.Queues[:i], name) {
			errs = append(errs, fmt.Errorf("Queues[%d]: %s is there twice", i, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Weights)) {
		if weight := g.Weights[name]; weight <= 0 {
			errs = append(errs, fmt.Errorf("Weights[%q]: %d is not positive", name, weight))
		}
		if !slices.Contains(g.Queues, name) {
			errs = append(errs, fmt.Errorf("Weights[%q]: no such queue in Queues", name))
		}
	}
	return errs
}

// groups are all groups, that of Config itself first, with their defaults.
func (c *Config) groups() []Group {
	var groups []Group
	if len(c.Queues) > 0 || len(c.Groups) == 0 || len(c.Weights) > 0 || c.Concurrency != 0 {
		own := Group{Name: "default", Queues: c.Queues, Weights: c.Weights, Concurrency: c.Concurrency}
		if len(own.Queues) == 0 {
			own.Queues = []string{"default"}
		}
		groups = append(groups, own)
	}
	groups = append(groups, c.Groups...)
	for i := range groups {
		if groups[i].Concurrency == 0 {
			groups[i].Concurrency = defaultConcurrency
		}
		if groups[i].Name == "" && len(groups[i].Queues) > 0 {
			groups[i].Name = groups[i].Queues[0]
		}
	}
	return groups
}

// plans are the groups as the store sees them.
func (c *Config) plans() []store.Group {
	var plans []store.Group
	for _, g := range c.groups() {
		plan := store.Group{Name: g.Name, Strict: len(g.Weights) == 0, Concurrency: g.Concurrency}
		for _, name := range g.Queues {
			plan.Queues = append(plan.Queues, store.Share{Queue: name, Weight: g.Weights[name]})
		}
		plans = append(plans, plan)
	}
	return plans
}

// lease is c.Lease with its defaults. A TTL alone brings a beat that suits it.
func (c *Config) lease() LeaseConfig {
	l := c.Lease
	if l.TTL == 0 {
		l.TTL = max(defaultTTL, 4*l.Beat)
	}
	if l.Beat == 0 {
		l.Beat = min(defaultBeat, l.TTL/8)
	}
	if l.Poll == 0 {
		l.Poll = defaultPoll
	}
	return l
}

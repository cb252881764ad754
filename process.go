package ebb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/internal/platform"
	"github.com/ebbjobs/ebb/internal/runner"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// Process runs jobs. It is made by [NewProcess], given handlers by [Job.Handle], and
// then run once: by Run, which a worker's main calls, or by Start, inside a program
// that does other things as well. All its other methods may be called at any time,
// in any order, and repeatedly.
type Process struct {
	client *Client
	config Config
	done   chan struct{}

	mu       sync.Mutex
	handlers map[string]*runner.Handler
	early    []lifecycle.Event // what was told before the start
	over     bool              // drained before it was started
	runner   *runner.Runner    // nil before the start
	socket   *control.Server   // nil: none
	grace    time.Duration     // 0: nobody has told it

	companions []companion
}

// Report says how a process ended and what became of each job that the stop met.
type Report = store.StopReport

// errStarted is for a process that is started twice.
var errStarted = errors.New("ebb: the process was started before")

// NewProcess makes a process that takes jobs from the client's store. It reaches
// nothing and starts nothing; what is wrong with config is told by Run or Start.
func NewProcess(client *Client, config Config) *Process {
	return &Process{client: client, config: config, handlers: map[string]*runner.Handler{}, done: make(chan struct{})}
}

// Run runs jobs until it is told to stop, and returns when all it held is handed
// over: nil then, even if jobs were deaf and had to be left to others, which the log
// and the stop report say. It returns an error if config is wrong, if the store
// refuses the process, or if something could not be handed over; nothing is lost
// then either, but others find it only when the lease has ended.
//
// It owns the signals of a worker. TERM and INT begin the stop; TSTP quiets; TTIN
// prints what runs to standard error; a second TERM changes nothing, and a second
// INT from a terminal, a second after the first, ends at once. The end of ctx begins
// the stop, too. It does not end jobs: these have their own time, see [StopConfig].
//
// On a Redis that Ruby can share, ps shows on Linux what the process does in place of its
// arguments, in the form of Sidekiq's "sidekiq 8.1.7 ebb shop [2 of 10 busy] stopping",
// unless EBB_TITLE is off.
// Nothing changes for the program itself: os.Args and the environment stay.
//
// A worker's main returns when Run has returned. A second Run is an error.
func (p *Process) Run(ctx context.Context) error {
	// First of all: until then a TSTP would freeze the process, and a TERM end it. And
	// not through ctx, which would leave the second signal to the default.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, lifecycle.Listen()...)
	defer signal.Stop(signals)
	r, err := p.begin(false)
	if r == nil {
		return err
	}
	go func() {
		for {
			select {
			case s := <-signals:
				r.Tell(lifecycle.Heard(s))
			case <-r.Done():
				return
			}
		}
	}()
	return p.run(ctx, r)
}

// Start runs jobs beside what the program does otherwise, and returns once the
// process is registered with its store, or cannot be. It touches no signals and
// never ends the program. The end of ctx begins the stop, as [Process.Drain] does.
func (p *Process) Start(ctx context.Context) error {
	r, err := p.begin(true)
	if r == nil {
		return err
	}
	go p.run(ctx, r)
	select {
	case <-r.Started():
		return nil
	case <-p.done:
	}
	select {
	case <-r.Started():
		return nil
	default:
		return cmp.Or(r.Err(), context.Cause(ctx))
	}
}

// Quiet lets the process fetch nothing more. What runs goes on for as long as it
// takes.
func (p *Process) Quiet() { p.tell(lifecycle.Event{Kind: lifecycle.Quiet, Why: "Quiet was called"}) }

// Resume takes Quiet back. It does nothing once a stop has begun.
func (p *Process) Resume() { p.tell(lifecycle.Event{Kind: lifecycle.Resume, Why: "Resume was called"}) }

// Drain begins the stop, unless it has begun, and waits until everything is handed
// over. A deadline of ctx is taken for the hour of the kill, in place of what the
// config says of grace, unless a stop with an earlier hour is under way; everything
// is over shortly before it. If ctx ends first the stop goes on without Drain.
//
// A job that does not return although its context has ended is deaf. It stays in
// this process's keeping until it does return, and Drain does not wait for it: it is
// in the report. Done waits.
//
// A process that was never started is not started any more.
func (p *Process) Drain(ctx context.Context) (Report, error) {
	e := lifecycle.Event{Kind: lifecycle.Stop, Why: "Drain was called"}
	if deadline, ok := ctx.Deadline(); ok {
		e.Kill = deadline
	}
	r := p.tell(e)
	if r == nil {
		return Report{}, nil
	}
	select {
	case <-r.Reported():
	case <-ctx.Done():
		return Report{}, fmt.Errorf("ebb: drain: %w", context.Cause(ctx))
	}
	select {
	case <-r.Done():
		<-p.done // nothing uses the store any more
	default: // a job is deaf
	}
	return r.Report(), r.Err()
}

// Done is closed when the process has left its store and nothing of it runs any
// more.
func (p *Process) Done() <-chan struct{} { return p.done }

// tell passes on an event. It returns nil if the process was not started.
func (p *Process) tell(e lifecycle.Event) *runner.Runner {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.runner != nil:
		p.runner.Tell(e)
	case e.Kind == lifecycle.Stop && !p.over:
		p.over = true
		close(p.done)
	default:
		p.early = append(p.early, e)
	}
	return p.runner
}

// begin makes the runner. It returns neither a runner nor an error if the process
// was drained before it was started.
func (p *Process) begin(embedded bool) (*runner.Runner, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runner != nil {
		return nil, errStarted
	}
	if p.over {
		return nil, nil
	}
	o, warnings, err := p.options(embedded)
	if err != nil {
		return nil, err
	}
	var unheard []string
	p.companions, unheard = p.speak(&o)
	if p.socket = p.listen(embedded, o.Log); p.socket != nil {
		o.Self.Socket = p.socket.Path()
	}
	o.Self.Settings, o.Self.Warnings = p.settings(&o), slices.Concat(warnings, unheard)
	r, err := runner.New(o)
	if err != nil {
		if p.socket != nil {
			p.socket.Close()
		}
		return nil, fmt.Errorf("ebb: Config.Stop: %w", err)
	}
	for _, w := range warnings {
		o.Log.Warn("this process may not stop as it should", "cause", w)
	}
	for _, w := range unheard {
		o.Log.Warn("the platform is not spoken with", "cause", w)
	}
	if !o.Stop.Assumed {
		p.grace = o.Stop.Grace
	}
	p.runner = r
	for _, e := range p.early {
		r.Tell(e)
	}
	return r, nil
}

// run runs r. Meanwhile it answers on its control socket and speaks with the platform.
func (p *Process) run(ctx context.Context, r *runner.Runner) error {
	defer close(p.done)
	answering, end := context.WithCancel(context.WithoutCancel(ctx))
	var answers sync.WaitGroup
	if p.socket != nil {
		answers.Go(func() {
			if err := p.socket.Run(answering, r, p.config.Logger); err != nil {
				p.log().Warn("control socket ended", "cause", err)
			}
		})
	}
	for _, c := range p.companions {
		answers.Go(func() { c(answering, r) })
	}
	defer answers.Wait()
	defer end()
	return r.Run(ctx)
}

// listen makes the control socket. A process does without where it cannot be made,
// and inside another program unless its folder is named.
func (p *Process) listen(embedded bool, log *slog.Logger) *control.Server {
	dirs := control.Dirs(os.Getenv)
	switch p.config.Socket {
	case NoSocket:
		return nil
	case "":
		if embedded {
			return nil
		}
	default:
		dirs = []string{p.config.Socket}
	}
	socket, err := control.Listen(os.Getpid(), dirs)
	if err != nil {
		log.Warn("no control socket: drain hooks and probes must do with signals and the store", "cause", err)
	}
	return socket
}

// options turns the config into what the runner takes.
func (p *Process) options(embedded bool) (o runner.Options, warnings []string, err error) {
	c := p.config
	if err := c.check(); err != nil {
		return o, nil, err
	}
	found, err := platform.Look(platform.Here(c.Stop.Grace))
	if err != nil {
		return o, nil, fmt.Errorf("ebb: %w", err)
	}
	if found.Assumed && c.Stop.Timeout == 0 && !embedded {
		found.Warnings = append(found.Warnings, fmt.Sprintf("grace of %v is %s", found.Grace, found.Source))
	}
	lease, id := c.lease(), store.NewIdentity()
	o = runner.Options{
		Store: p.client.store, ID: id, Log: p.log(),
		Groups: c.plans(), Handlers: p.handlers,
		Stop: lifecycle.Config{Grace: found.Grace, Assumed: found.Assumed, Timeout: c.Stop.Timeout, Terminal: !embedded && onTerminal()},
		Beat: lease.Beat, TTL: lease.TTL, Poll: lease.Poll,
		GraceFrom: found.Source,
		Embedded:  embedded, EndCutOff: lease.CutOff == EndJobs,
		RSS:     func() int64 { return platform.RSS(os.DirFS("/"), os.Getpid()) },
		DeadMax: c.Dead.Max, DeadAge: c.Dead.Age, Poison: c.Poison,
	}
	slots := 0
	for _, g := range o.Groups {
		slots += g.Concurrency
	}
	o.Self = store.Presence{
		ID: id, Host: id.Host(), PID: os.Getpid(), Tag: c.Tag, Release: c.Release, Version: version(), Labels: c.Labels,
		Started: time.Now(), Concurrency: slots, Groups: o.Groups, Grace: found.Grace, Embedded: embedded,
	}
	return o, found.Warnings, nil
}

func (p *Process) log() *slog.Logger { return cmp.Or(p.config.Logger, slog.Default()) }

// onTerminal reports whether a person may press ^C at standard input.
func onTerminal() bool {
	in, err := os.Stdin.Stat()
	if err != nil || in.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(in, null)
}

// version is that of the ebb module in this program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/ebbjobs/ebb" {
			return m.Version
		}
	}
	return info.Main.Version
}

var _ control.Process = (*runner.Runner)(nil)

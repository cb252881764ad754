package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb/internal/platform"
)

// Here is what Live looks at.
type Here struct {
	platform.Input
	Environ []string
	// StoreWarnings are what the store says of its own settings.
	StoreWarnings []string
}

// Machine is what this machine, or container, is like when it comes to a stop.
type Machine struct {
	Platform string        // "" if none is recognised
	Grace    time.Duration // between the notice and KILL
	Source   string        // who says so
	Limit    time.Duration // the most that the platform grants; zero: not known
	First    string        // the command of PID 1
	Workers  []Running     // this very process where there are none
	Limits   Limits
	Told     []string // variables of ebb's that are set
	Missing  []string // those that should be
}

// Running is a process that runs jobs, and what is above it.
type Running struct {
	PID     int
	Command string
	Above   []string // the names of its ancestors with their PIDs, the first process first
	Problem string   // why a TERM does not arrive; "" if it does, as far as is known

	kind    workerKind
	process platform.Process
}

// liveRule is a rule about what runs, and not about what is written.
type liveRule struct {
	Rule
	look func(*Machine, *Here, func(Finding))
}

// tstp is the same on all of Linux, and has no name on other systems.
const tstp = syscall.Signal(20)

var liveRules = []liveRule{
	{Rule{ID: "L01", Severity: Error, Title: "TERM does not reach the worker",
		Why: "The platform tells the first process of a container. When that is a shell or any other program that tells nobody, every stop is a KILL.",
		Fix: "exec, or ebb init."}, notReached},
	{Rule{ID: "L02", Severity: Error, Title: "a worker that blocks or ignores TERM",
		Why: "Masks and ignored signals are inherited from whatever started the worker (nohup, a shell with trap ''). The stop is not heard, and ends with KILL.",
		Fix: "Start the worker with TERM open: ebb init opens all signals."}, deaf},
	{Rule{ID: "L03", Severity: Error, Title: "a worker without a handler for TERM",
		Why: "TERM kills it at once with all its jobs, or is ignored where it is PID 1. A worker that has only just begun is in that state too.",
		Fix: "A handler for TERM that gives jobs back."}, withoutHandler},
	{Rule{ID: "L04", Severity: Warn, Title: "a worker that TSTP freezes, or that is frozen",
		Why: "Without a handler, TSTP stops a process instead of quieting it. A frozen process hears no TERM.",
		Fix: "kill -CONT, and no TSTP to this worker."}, freezes},
	{Rule{ID: "L05", Severity: Warn, Title: "a grace that the platform does not give",
		Why: "EBB_GRACE promises the worker more time than its platform grants at most: KILL comes while it still waits.",
		Fix: "EBB_GRACE at what the platform is set to."}, promisedTooMuch},
	{Rule{ID: "L06", Severity: Info, Title: "a grace that nobody has told",
		Why: "Few platforms tell a process how long they wait. Without EBB_GRACE a worker plans with its platform's default, which may be too much or too little.",
		Fix: "EBB_GRACE, from the same value as the platform's own setting."}, notTold},
	{Rule{ID: "L07", Severity: Warn, Title: "a memory limit that has killed",
		Why: "The kernel KILLs what goes beyond the cgroup's limit, without a notice: what it ran is lost, or waits for its lease to end.",
		Fix: "A higher limit, or fewer jobs at a time."}, outOfMemory},
	{Rule{ID: "L08", Severity: Warn, Title: "a limit on processes that is nearly reached",
		Why: "Nothing can be started beyond it: no command of a job, no hook, no drain. Zombies count.",
		Fix: "An init that reaps, or a higher limit."}, tooManyProcesses},
	{Rule{ID: "L09", Severity: Warn, Title: "a store that may lose jobs",
		Why: "A server that evicts throws jobs away when memory is short; one that does not write to disk forgets them when it crashes.",
		Fix: "maxmemory-policy noeviction, appendonly yes."}, storeForgets},
}

// LiveRules are those of Live, by number.
var LiveRules = func() (rules []Rule) {
	for _, r := range liveRules {
		rules = append(rules, r.Rule)
	}
	return rules
}()

// Live looks at the machine that it runs on: at the workers that run there, or, where
// there are none, at the caller's own process, as if it were one. It reads /proc and
// changes nothing. What cannot be read is not found.
func Live(here Here) (*Machine, Report, error) {
	found, err := platform.Look(here.Input)
	if err != nil {
		return nil, Report{}, fmt.Errorf("doctor: look at the platform: %w", err)
	}
	m := &Machine{Platform: found.Platform, Grace: found.Grace, Source: found.Source, Limit: found.Limit}
	if first, err := platform.ReadProcess(here.Root, 1); err == nil {
		m.First = commandLine(first)
	}
	m.variables(here.Environ)
	m.Workers = running(here)
	m.Limits = readLimits(here.Root, m.pid(here))
	r := Report{Workloads: max(1, len(m.Workers))}
	for _, rule := range liveRules {
		rule.look(m, &here, func(f Finding) {
			f.Rule, f.Severity = rule.ID, cmp.Or(f.Severity, rule.Severity)
			r.Findings = append(r.Findings, f)
		})
	}
	return m, r, nil
}

// pid is whose cgroup counts.
func (m *Machine) pid(here Here) int {
	if len(m.Workers) > 0 {
		return m.Workers[0].PID
	}
	return here.PID
}

// variables are named and not shown: some hold passwords.
func (m *Machine) variables(environ []string) {
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "EBB_") && value != "" && !slices.Contains(m.Told, name) {
			m.Told = append(m.Told, name)
		}
	}
	slices.Sort(m.Told)
	for _, name := range []string{"EBB_GRACE", "EBB_STORE"} {
		if !slices.Contains(m.Told, name) {
			m.Missing = append(m.Missing, name)
		}
	}
}

// each calls look for every process that surely runs jobs.
func (m *Machine) each(look func(Running)) {
	for _, w := range m.Workers {
		if w.kind != unknownWorker {
			look(w)
		}
	}
}

func procFile(pid int, name string) Place { return Place{File: fmt.Sprintf("/proc/%d/%s", pid, name)} }

func notReached(m *Machine, _ *Here, tell func(Finding)) {
	for _, w := range m.Workers {
		if w.Problem != "" {
			effect, fix, _ := strings.Cut(w.Problem, "; ")
			found := Finding{At: procFile(w.PID, "status"), Workload: w.Command, Effect: effect, Fix: fix}
			if w.kind == unknownWorker {
				found.Severity = Info // nobody would start a worker where this one was started, perhaps
			}
			tell(found)
		}
	}
}

func deaf(m *Machine, _ *Here, tell func(Finding)) {
	m.each(func(w Running) {
		how := "blocks"
		switch p := w.process; {
		case p.Ignored.Has(syscall.SIGTERM):
			how = "ignores"
		case !p.Blocked.Has(syscall.SIGTERM):
			return
		case p.Caught.Has(syscall.SIGTERM):
			return // of one thread, as Ruby and the JVM do: another one takes it
		}
		tell(Finding{At: procFile(w.PID, "status"), Workload: w.Command, Effect: fmt.Sprintf("%s %s TERM: every stop ends with KILL after %s", w.Command, how, spell(m.Grace)), Fix: "ebb init -- " + w.Command})
	})
}

func withoutHandler(m *Machine, _ *Here, tell func(Finding)) {
	m.each(func(w Running) {
		p := w.process
		if p.Caught.Has(syscall.SIGTERM) || p.Ignored.Has(syscall.SIGTERM) || p.Blocked.Has(syscall.SIGTERM) {
			return
		}
		effect := w.Command + " has no handler for TERM: it dies at once with its jobs"
		if w.PID == 1 {
			effect = fmt.Sprintf("%s is PID 1 and has no handler for TERM: the kernel drops it, and KILL comes after %s", w.Command, spell(m.Grace))
		}
		tell(Finding{At: procFile(w.PID, "status"), Workload: w.Command, Effect: effect, Fix: "look again when it has started; else a handler that gives jobs back"})
	})
}

func freezes(m *Machine, _ *Here, tell func(Finding)) {
	m.each(func(w Running) {
		p := w.process
		switch quiets := w.kind == sidekiqWorker || w.kind == ebbWorker; {
		case p.State == "T":
			tell(Finding{At: procFile(w.PID, "status"), Workload: w.Command, Effect: w.Command + " is frozen: it runs nothing and hears no TERM", Fix: fmt.Sprintf("kill -CONT %d", w.PID)})
		case quiets && !p.Caught.Has(tstp) && !p.Ignored.Has(tstp):
			tell(Finding{At: procFile(w.PID, "status"), Workload: w.Command, Effect: "TSTP freezes " + w.Command + " instead of quieting it", Fix: "look again when it has started; else leave TSTP out of hooks and sequences"})
		}
	})
}

func promisedTooMuch(m *Machine, _ *Here, tell func(Finding)) {
	if m.Limit > 0 && m.Grace > m.Limit {
		tell(Finding{At: Place{File: "EBB_GRACE"}, Effect: fmt.Sprintf("workers count on %s, and %s may KILL after %s", spell(m.Grace), m.Platform, spell(m.Limit)), Fix: fmt.Sprintf("EBB_GRACE=%d", wholeSeconds(m.Limit))})
	}
}

func notTold(m *Machine, _ *Here, tell func(Finding)) {
	if slices.Contains(m.Missing, "EBB_GRACE") {
		tell(Finding{At: Place{File: "EBB_GRACE"}, Effect: fmt.Sprintf("workers here count on %s (%s)", spell(m.Grace), m.Source), Fix: fmt.Sprintf("EBB_GRACE=%d, or what the platform is set to", wholeSeconds(m.Grace))})
	}
}

func outOfMemory(m *Machine, _ *Here, tell func(Finding)) {
	if l := m.Limits.Memory; l.Refused > 0 {
		tell(Finding{At: Place{File: l.File}, Effect: fmt.Sprintf("the kernel has KILLed %d here for lack of memory, without a notice", l.Refused), Fix: "raise the limit, or lower the concurrency"})
	}
}

func tooManyProcesses(m *Machine, _ *Here, tell func(Finding)) {
	if l := m.Limits.PIDs; l.Most > 0 && l.Used*10 >= l.Most*9 {
		tell(Finding{At: Place{File: l.File}, Effect: fmt.Sprintf("%d of %d processes and threads: soon nothing can be started, drain hooks neither", l.Used, l.Most), Fix: "ebb init, which reaps what jobs leave; or a higher limit"})
	}
}

func storeForgets(_ *Machine, here *Here, tell func(Finding)) {
	for _, warning := range here.StoreWarnings {
		effect, fix, _ := strings.Cut(warning, "; ")
		if fix == "" {
			fix = "see the server's own documentation"
		}
		tell(Finding{At: Place{File: "the store"}, Effect: effect, Fix: fix})
	}
}

package ebb

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/ebbjobs/ebb/internal/podcost"
	"github.com/ebbjobs/ebb/internal/probe"
	"github.com/ebbjobs/ebb/internal/protect"
	"github.com/ebbjobs/ebb/internal/runner"
	"github.com/ebbjobs/ebb/internal/sdnotify"
	"github.com/ebbjobs/ebb/internal/spot"
	"github.com/ebbjobs/ebb/lifecycle"
)

// Handler answers over HTTP how the process does. It may be asked at any time, and
// serves on whatever listener the program has, also under a prefix that was stripped:
//
//   - GET /live answers 200 while the process can be told things: busy, quiet and
//     stopping are no reasons to be killed. It answers 503 if it hangs, and after an
//     end with an error; before the start and after a good end, 200.
//   - GET /ready answers 200 while the process takes jobs, and 503 before it is
//     registered with its store, while it is quiet, in a stop and after it.
//   - GET /status answers with what runs and since when, as JSON, and 503 before the
//     start.
//   - GET /drain, for an httpGet preStop hook, quiets the process and answers 200 when
//     nothing runs any more, after the end at once; 503 before the start, and 409 if
//     Resume was called meanwhile. The hook begins with the platform's grace period,
//     so that the process knows the hour of the KILL if [StopConfig.Grace] or
//     EBB_GRACE says it, or the request does: /drain?grace=65s. The stop then begins
//     in time, if it must. POST does the same.
//
// Only /drain changes anything, and refuses what a web page may have sent, a GET by
// name rather than by address included. Nothing asks for a password: serve it where
// only the platform comes by.
func (p *Process) Handler() http.Handler {
	return probe.New(probe.Options{
		Process: func() probe.Process {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.runner == nil {
				return nil
			}
			return p.runner
		},
		Grace: func() time.Duration {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.grace
		},
	})
}

// companion speaks with the platform beside a process, until ctx ends, and never in
// the way of its work.
type companion func(ctx context.Context, r *runner.Runner)

// speak makes the companions that the config and the surroundings ask for. One that
// cannot be made is a warning.
func (p *Process) speak(o *runner.Options) (companions []companion, warnings []string) {
	failed := func(err error) { warnings = append(warnings, err.Error()) }
	if c := titled(o, p.client.store.Describe().RubyShares); c != nil {
		companions = append(companions, c)
	}
	if !o.Embedded { // else the program itself says when it is ready
		if systemd, err := sdnotify.New(os.Getenv, os.Getpid(), o.Log); err != nil {
			failed(err)
		} else if systemd != nil {
			companions = append(companions, func(ctx context.Context, r *runner.Runner) { systemd.Run(ctx, r) })
		}
	}
	if p.config.Platform.Protect == ProtectECS {
		if task, err := protect.New(os.Getenv, o.Log); err != nil {
			failed(err)
		} else {
			o.Admit = task.Admit
			companions = append(companions, func(ctx context.Context, r *runner.Runner) {
				task.Run(ctx, func() bool { return r.InFlight() > 0 })
			})
		}
	}
	if p.config.Platform.PodDeletionCost {
		if pod, err := podcost.New(os.Getenv, o.Log); err != nil {
			failed(err)
		} else {
			companions = append(companions, func(ctx context.Context, r *runner.Runner) { pod.Run(ctx, r.InFlight) })
		}
	}
	if name := p.config.Platform.Spot; name != "" {
		if machine, err := spot.New(name, o.Log); err != nil {
			failed(err)
		} else {
			companions = append(companions, func(ctx context.Context, r *runner.Runner) {
				machine.Run(ctx, func(cloud string, hour time.Time) {
					r.Tell(lifecycle.Event{Kind: lifecycle.Quiet, Kill: hour, Why: "notice of " + cloud + " that it takes the machine back"})
				})
			})
		}
	}
	return companions, warnings
}

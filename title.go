package ebb

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/proctitle"
	"github.com/ebbjobs/ebb/internal/runner"
	"github.com/ebbjobs/ebb/lifecycle"
)

// titleVersion is the Sidekiq that takes the same signals and means the same by its
// title. Scripts tell from it which signal quiets a worker.
const titleVersion = "8.1.7"

// titleEvery is how old a title may be.
const titleEvery = 500 * time.Millisecond

// titled makes the command line say what the process does, in the form in which
// Sidekiq's does, so that scripts and hooks find it there and read it:
//
//	sidekiq 8.1.7 ebb shop [2 of 10 busy] stopping
//
// It returns nil where Ruby is not, if EBB_TITLE is off, or if there is no room even
// without the tag.
func titled(o *runner.Options, ruby bool) companion {
	if !ruby || o.Embedded || os.Getenv("EBB_TITLE") == "off" {
		return nil
	}
	slots := o.Self.Concurrency
	name := strings.Join(strings.Fields("ebb "+o.Self.Tag), " ")
	if len(title(name, slots, slots, true)) > proctitle.Room() {
		name = "ebb"
	}
	if len(title(name, slots, slots, true)) > proctitle.Room() {
		return nil
	}
	return func(ctx context.Context, r *runner.Runner) {
		shown := ""
		tick := time.NewTicker(titleEvery)
		defer tick.Stop()
		for {
			stopping := r.Status().State != lifecycle.Running.String()
			if now := title(name, r.InFlight(), slots, stopping); now != shown {
				proctitle.Set(now)
				shown = now
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

func title(name string, busy, slots int, stopping bool) string {
	text := fmt.Sprintf("sidekiq %s %s [%d of %d busy]", titleVersion, name, busy, slots)
	if stopping {
		text += " stopping"
	}
	return text
}

// Command hungry is a worker of whose jobs one takes more memory than its container
// has. It notes in files of the folder notes what its jobs do.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/ebbjobs/ebb"
	_ "github.com/ebbjobs/ebb/store/redisstore"
)

// much is what the hungry job takes.
const much = 256 << 20

func main() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, os.Getenv("EBB_STORE"))
	if err != nil {
		fatal(err)
	}
	defer client.Close()
	p := ebb.NewProcess(client, ebb.Config{Concurrency: 3, Lease: ebb.LeaseConfig{TTL: 5 * time.Minute}})
	ebb.Define[struct{}]("Hungry").Handle(p, func(ctx context.Context, _ struct{}) error {
		return job(ctx, func() {
			meal := make([]byte, much)
			for at := 0; at < len(meal); at += os.Getpagesize() {
				meal[at] = 1
			}
			runtime.KeepAlive(meal)
		})
	})
	ebb.Define[struct{}]("Patient").Handle(p, func(ctx context.Context, _ struct{}) error {
		return job(ctx, func() { await(ctx, "over") })
	})
	if err := p.Run(ctx); err != nil {
		fatal(err)
	}
}

// job notes its begin with what it was billed for, waits for the meal to be served, and
// notes its end.
func job(ctx context.Context, do func()) error {
	info := ebb.Info(ctx)
	note := func(what string) error {
		return os.WriteFile(fmt.Sprintf("notes/%s.%s.attempt-%d.interruptions-%d", info.JID, what, info.Attempt, info.Interruptions), nil, 0o644)
	}
	if err := note("begun"); err != nil {
		return err
	}
	await(ctx, "served")
	if do(); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return note("ended")
}

// await waits for a file.
func await(ctx context.Context, name string) {
	for ctx.Err() == nil {
		if _, err := os.Stat(name); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "hungry:", err)
	os.Exit(1)
}

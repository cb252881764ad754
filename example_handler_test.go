package ebb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/ebbjobs/ebb"
)

// What a handler returns decides what becomes of its job.
func ExampleJob_Handle() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var run sync.WaitGroup
	verdict := ebb.Define[string]("VerdictJob")
	process := ebb.NewProcess(client, config)
	verdict.Handle(process, func(_ context.Context, wish string) error {
		defer run.Done()
		switch wish {
		case "fail":
			return errors.New("the mail server is down") // tried again in 15 s or so
		case "snooze":
			return ebb.Snooze(time.Hour) // not a failure
		case "bury":
			return ebb.Bury(errors.New("no such template")) // for a person to look at
		case "discard":
			return ebb.Discard(errors.New("the user is gone"))
		}
		return nil // done
	})
	wishes := []string{"finish", "fail", "snooze", "bury", "discard"}
	run.Add(len(wishes))
	if _, err := verdict.EnqueueMany(ctx, client, wishes); err != nil {
		log.Fatal(err)
	}
	if err := process.Start(ctx); err != nil {
		log.Fatal(err)
	}
	run.Wait()
	if _, err := process.Drain(ctx); err != nil {
		log.Fatal(err)
	}

	stats, err := client.Store().Stats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	books := stats.Books[0]
	fmt.Println("accepted", books.Accepted)
	fmt.Println("done", books.Done, "discarded", books.Discarded)
	fmt.Println("retrying", books.Retrying, "scheduled", books.Scheduled, "dead", books.Dead)
	fmt.Println("missing", books.Arrivals())
	// Output:
	// accepted 5
	// done 1 discarded 1
	// retrying 1 scheduled 1 dead 1
	// missing 0
}

// One type of middleware on both sides: here a tenant travels with each job.
func ExampleMiddleware() {
	type tenant struct{}
	send := func(ctx context.Context, e *ebb.Envelope, next func(context.Context) error) error {
		if name, ok := ctx.Value(tenant{}).(string); ok {
			value, err := json.Marshal(name)
			if err != nil {
				return err
			}
			e.Extra = map[string]json.RawMessage{"tenant": value}
		}
		return next(ctx)
	}
	receive := func(ctx context.Context, e *ebb.Envelope, next func(context.Context) error) error {
		var name string
		if err := json.Unmarshal(e.Extra["tenant"], &name); err != nil {
			return ebb.Bury(err)
		}
		return next(context.WithValue(ctx, tenant{}, name))
	}

	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:", ebb.WithMiddleware(send))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	done := make(chan bool)
	config := config
	config.Middleware = []ebb.Middleware{receive}
	process := ebb.NewProcess(client, config)
	SendWelcome.Handle(process, func(ctx context.Context, w Welcome) error {
		fmt.Println("welcome to", ctx.Value(tenant{}))
		close(done)
		return nil
	})
	if err := process.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := SendWelcome.Enqueue(context.WithValue(ctx, tenant{}, "acme"), client, Welcome{UserID: 1}); err != nil {
		log.Fatal(err)
	}
	<-done
	if _, err := process.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: welcome to acme
}

package ebb_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/ebbjobs/ebb"
)

// No job is cut without notice: it is told of the stop, and when the kill will come.
func ExampleStopping() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	begun := make(chan bool)
	process := ebb.NewProcess(client, config)
	SendWelcome.Handle(process, func(ctx context.Context, _ Welcome) error {
		stopping, _ := ebb.Stopping(ctx)
		close(begun)
		<-stopping
		_, kill := ebb.Stopping(ctx)
		fmt.Println("told, with time left:", time.Until(kill) > 0)
		fmt.Println("context:", ctx.Err())
		return nil // done is done
	})
	if _, err := SendWelcome.Enqueue(ctx, client, Welcome{UserID: 1}); err != nil {
		log.Fatal(err)
	}
	if err := process.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-begun
	report, err := process.Drain(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range report.Jobs {
		fmt.Println(job.Kind, job.Fate)
	}
	// Output:
	// told, with time left: true
	// context: <nil>
	// WelcomeJob finished
}

// A job that a stop cuts off goes on in another process from its last checkpoint,
// and its first attempt is still its first.
func ExampleCheckpoint() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	export := ebb.Define[struct{}]("ExportJob")
	if _, err := export.Enqueue(ctx, client, struct{}{}); err != nil {
		log.Fatal(err)
	}
	exported, done := make(chan int), make(chan bool)
	work := func(ctx context.Context, _ struct{}) error {
		next, resumed, err := ebb.Resume[int](ctx)
		if err != nil {
			return err
		}
		fmt.Printf("attempt %d starts at %d\n", ebb.Info(ctx).Attempt, next)
		stopping, _ := ebb.Stopping(ctx)
		for ; next < 4; next++ {
			fmt.Println("exports", next)
			if err := ebb.Checkpoint(ctx, next+1); err != nil {
				return err
			}
			if next == 1 && !resumed {
				close(exported)
				<-stopping
				return ebb.ErrYield
			}
		}
		close(done)
		return nil
	}

	first := ebb.NewProcess(client, config)
	export.Handle(first, work)
	if err := first.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-exported
	if _, err := first.Drain(ctx); err != nil { // a deploy
		log.Fatal(err)
	}

	second := ebb.NewProcess(client, config)
	export.Handle(second, work)
	if err := second.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-done
	if _, err := second.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// attempt 1 starts at 0
	// exports 0
	// exports 1
	// attempt 1 starts at 2
	// exports 2
	// exports 3
}

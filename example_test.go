package ebb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	_ "github.com/ebbjobs/ebb/store/memstore"
)

// config is for a process that prints nothing of its own.
var config = ebb.Config{Logger: slog.New(slog.DiscardHandler)}

type Welcome struct {
	UserID int64
	Locale string `ebb:"optional"`
}

var SendWelcome = ebb.Define[Welcome]("WelcomeJob", ebb.Retry(10))

// A job that was accepted is run: here by a process beside the producer, in a
// worker's main by Run.
func Example() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:") // or sqlite:ebb.db, or redis://localhost:6379/0
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	done := make(chan bool)
	process := ebb.NewProcess(client, config)
	SendWelcome.Handle(process, func(_ context.Context, w Welcome) error {
		fmt.Println("welcome,", w.UserID)
		close(done)
		return nil
	})
	if err := process.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := SendWelcome.Enqueue(ctx, client, Welcome{UserID: 9007199254740993}); err != nil {
		log.Fatal(err)
	}
	<-done
	if _, err := process.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: welcome, 9007199254740993
}

// The fields of the arguments are the parameters of a Ruby job:
// perform(user_id, locale = nil, *extras).
func ExampleDefine() {
	type Invite struct {
		UserID int64
		Locale string   `ebb:"optional"`
		Extras []string `ebb:"rest"`
	}
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	invite := ebb.Define[Invite]("InviteJob")
	for _, args := range []Invite{{UserID: 1}, {UserID: 2, Locale: "de"}, {UserID: 3, Extras: []string{"a", "b"}}} {
		if _, err := invite.Enqueue(ctx, client, args); err != nil {
			log.Fatal(err)
		}
	}
	printArgs(ctx, client, "default")

	_, err = invite.Decode(json.RawMessage(`["4"]`))
	fmt.Println(err)
	// Output:
	// [1]
	// [2,"de"]
	// [3,"","a","b"]
	// ebb: decode InviteJob: argument 1 (UserID int64) does not fit: JSON string
}

func ExampleAsObject() {
	type Invite struct {
		UserID int64  `json:"user_id"`
		Locale string `json:"locale,omitempty"`
	}
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	invite := ebb.Define[Invite]("InviteJob", ebb.AsObject())
	if _, err := invite.Enqueue(ctx, client, Invite{UserID: 1}); err != nil {
		log.Fatal(err)
	}
	printArgs(ctx, client, "default")
	// Output: [{"user_id":1}]
}

// Many jobs go in few round trips, and what is not due yet waits elsewhere.
func ExampleJob_EnqueueMany() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	users := make([]Welcome, 2500)
	refs, err := SendWelcome.EnqueueMany(ctx, client, users, ebb.In(time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	stats, err := client.Store().Stats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(refs), "accepted,", stats.Scheduled, "scheduled,", stats.Ready, "ready")
	// Output: 2500 accepted, 2500 scheduled, 0 ready
}

// A kind that only a Ruby program knows needs no Go type.
func ExampleClient_Push() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ref, err := client.Push(ctx, ebb.Envelope{
		Kind: "Reports::Nightly",
		Args: json.RawMessage(`["2026-11-21", {"full": true}]`),
	}, ebb.Queue("low"), ebb.NoRetry())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ref.Kind, "is in", ref.Queue)
	printArgs(ctx, client, "low")
	// Output:
	// Reports::Nightly is in low
	// ["2026-11-21",{"full":true}]
}

// A job that cannot be stored whole is refused before it is sent.
func ExampleWithMaxPayload() {
	ctx := context.Background()
	client, err := ebb.Open(ctx, "mem:", ebb.WithMaxPayload(64<<10))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	render := ebb.Define[[]byte]("RenderJob")
	_, err = render.Enqueue(ctx, client, make([]byte, 64<<10))
	fmt.Println(errors.Is(err, ebb.ErrTooLarge))
	// Output: true
}

// printArgs prints the arguments of what waits in a queue.
func printArgs(ctx context.Context, client *ebb.Client, queue string) {
	for entry, err := range client.Store().Jobs(ctx, store.Query{Place: store.Ready, Queue: queue}) {
		if err != nil {
			log.Fatal(err)
		}
		var payload struct{ Args json.RawMessage }
		if err := json.Unmarshal(entry.Payload, &payload); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", payload.Args)
	}
}

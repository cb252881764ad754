// Moved-class runs one class of a Rails application in Go. Rails goes on to enqueue it,
// and Sidekiq to run all others: docs/guides/move-a-class.md tells how it is moved.
package main

import (
	"cmp"
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/ebbjobs/ebb"
	_ "github.com/ebbjobs/ebb/store/redisstore"
)

// Queue is where Go's share of the jobs waits. No Sidekiq process has it in its list.
const Queue = "invoices-go"

// Invoice is what InvoiceJob#perform takes, in the same order.
type Invoice struct {
	OrderID int64
	Locale  string  `ebb:"optional"`
	Options Options `ebb:"optional"`
}

// Options is the hash at the end.
type Options struct {
	Copy bool `json:"copy"`
}

var InvoiceJob = ebb.Define[Invoice]("InvoiceJob", ebb.Queue(Queue), ebb.Retry(10))

func send(ctx context.Context, i Invoice) error {
	locale := cmp.Or(i.Locale, "en") // what Ruby has left out is zero
	ebb.Logger(ctx).Info("invoice sent", slog.Int64("order", i.OrderID), slog.String("locale", locale), slog.Bool("copy", i.Options.Copy))
	return nil
}

func main() {
	client, err := ebb.Open(context.Background(), cmp.Or(os.Getenv("REDIS_URL"), "redis://localhost:6379/0"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	process := newProcess(client, send)
	if err := process.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func newProcess(client *ebb.Client, handle func(context.Context, Invoice) error) *ebb.Process {
	process := ebb.NewProcess(client, ebb.Config{Queues: []string{Queue}, Tag: "invoices"})
	InvoiceJob.Handle(process, handle)
	return process
}

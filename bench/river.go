package main

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"
)

// By default River fetches once in 100 ms, and no more than it has workers. Tuned, it
// fetches as often as it may.
var (
	riverSQLite      = system{name: "river", drains: 500, open: openRiver, work: workRiver(0, 0)}
	riverSQLiteTuned = system{name: "river, tuned", drains: 5000, open: openRiver,
		work: workRiver(2*time.Millisecond, 20*time.Millisecond)}
)

func (noop) Kind() string { return "noop" }

type riverProducer struct {
	db     *sql.DB
	client *river.Client[*sql.Tx]
}

func openRiver(ctx context.Context, addr string) (producer, error) {
	db, err := riverDB(ctx, addr)
	if err != nil {
		return nil, err
	}
	client, err := river.NewClient(riversqlite.New(db), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return riverProducer{db, client}, nil
}

// riverDB opens the file as the driver's documentation advises.
func riverDB(ctx context.Context, file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	migrator, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return db, err
}

func (p riverProducer) Enqueue(ctx context.Context, queue string, sent time.Time) error {
	_, err := p.client.Insert(ctx, sentAt(sent), &river.InsertOpts{Queue: queue})
	return err
}

func (p riverProducer) EnqueueMany(ctx context.Context, queue string, n int) error {
	jobs := make([]river.InsertManyParams, n)
	for i := range jobs {
		jobs[i] = river.InsertManyParams{Args: noop{}, InsertOpts: &river.InsertOpts{Queue: queue}}
	}
	_, err := p.client.InsertManyFast(ctx, jobs)
	return err
}

func (p riverProducer) Close() error { return p.db.Close() }

type riverWorker struct {
	river.WorkerDefaults[noop]
	ran func(time.Time)
}

func (w riverWorker) Work(_ context.Context, job *river.Job[noop]) error {
	w.ran(job.Args.time())
	return nil
}

func workRiver(cooldown, poll time.Duration) func(context.Context, string, []string, int, func(time.Time)) error {
	return func(ctx context.Context, addr string, queues []string, concurrency int, ran func(time.Time)) error {
		db, err := riverDB(ctx, addr)
		if err != nil {
			return err
		}
		defer db.Close()
		workers := river.NewWorkers()
		river.AddWorker(workers, riverWorker{ran: ran})
		served := map[string]river.QueueConfig{}
		for _, queue := range queues {
			served[queue] = river.QueueConfig{MaxWorkers: concurrency}
		}
		client, err := river.NewClient(riversqlite.New(db), &river.Config{
			Workers: workers, Queues: served, FetchCooldown: cooldown, FetchPollInterval: poll,
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		if err := client.Start(ctx); err != nil {
			return err
		}
		<-client.Stopped()
		return nil
	}
}

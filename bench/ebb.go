package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/ebbjobs/ebb"
	_ "github.com/ebbjobs/ebb/store/redisstore"
	_ "github.com/ebbjobs/ebb/store/sqlitestore"
)

var (
	ebbRedis  = system{name: "ebb on Redis", redis: true, open: openEbbRedis, work: workEbb(redisURL)}
	ebbSQLite = system{name: "ebb on SQLite", open: openEbbSQLite, work: workEbb(sqliteURL)}
)

var noOp = ebb.Define[noop]("NoOp")

func redisURL(addr string) string  { return "redis://" + addr + "/0" }
func sqliteURL(addr string) string { return "sqlite:" + addr }

type ebbProducer struct{ *ebb.Client }

func openEbbRedis(ctx context.Context, addr string) (producer, error) {
	return openEbb(ctx, redisURL(addr))
}

func openEbbSQLite(ctx context.Context, addr string) (producer, error) {
	return openEbb(ctx, sqliteURL(addr))
}

func openEbb(ctx context.Context, url string) (producer, error) {
	client, err := ebb.Open(ctx, url, ebb.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	return ebbProducer{client}, nil
}

func (p ebbProducer) Enqueue(ctx context.Context, queue string, sent time.Time) error {
	_, err := noOp.Enqueue(ctx, p.Client, sentAt(sent), ebb.Queue(queue))
	return err
}

func (p ebbProducer) EnqueueMany(ctx context.Context, queue string, n int) error {
	_, err := noOp.EnqueueMany(ctx, p.Client, make([]noop, n), ebb.Queue(queue))
	return err
}

func workEbb(url func(addr string) string) func(context.Context, string, []string, int, func(time.Time)) error {
	return func(ctx context.Context, addr string, queues []string, concurrency int, ran func(time.Time)) error {
		client, err := ebb.Open(ctx, url(addr))
		if err != nil {
			return err
		}
		defer client.Close()
		process := ebb.NewProcess(client, ebb.Config{
			Concurrency: concurrency, Queues: queues, Logger: slog.New(slog.DiscardHandler),
		})
		noOp.Handle(process, func(_ context.Context, job noop) error {
			ran(job.time())
			return nil
		})
		return process.Run(ctx)
	}
}

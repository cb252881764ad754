package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hibiken/asynq"
)

var asynqRedis = system{name: "asynq", redis: true, open: openAsynq, work: workAsynq}

type asynqProducer struct{ *asynq.Client }

func openAsynq(_ context.Context, addr string) (producer, error) {
	return asynqProducer{asynq.NewClient(asynq.RedisClientOpt{Addr: addr})}, nil
}

func (p asynqProducer) Enqueue(ctx context.Context, queue string, sent time.Time) error {
	args, err := json.Marshal(sentAt(sent))
	if err != nil {
		return err
	}
	_, err = p.EnqueueContext(ctx, asynq.NewTask("noop", args), asynq.Queue(queue))
	return err
}

func (p asynqProducer) EnqueueMany(context.Context, string, int) error { return errNoBulk }

func workAsynq(ctx context.Context, addr string, queues []string, concurrency int, ran func(time.Time)) error {
	shares := map[string]int{}
	for _, queue := range queues {
		shares[queue] = 1
	}
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: addr},
		asynq.Config{Concurrency: concurrency, Queues: shares, LogLevel: asynq.WarnLevel})
	err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		var args noop
		if err := json.Unmarshal(task.Payload(), &args); err != nil {
			return err
		}
		ran(args.time())
		return nil
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

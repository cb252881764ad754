package demo

import (
	"context"
	"io"
	"log/slog"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/crew"
)

// Work is a worker process: it runs jobs until it is told to stop, or until told
// ends, which the demo's own end sees to, however it ends.
func Work(ctx context.Context, s Settings, told io.Reader, log *slog.Logger) error {
	ctx, end := crew.Leashed(ctx, told)
	defer end()
	client, err := ebb.Open(ctx, "sqlite:"+storeFile(s.State))
	if err != nil {
		return err
	}
	defer client.Close()
	ledger, err := openLedger(ctx, storeFile(s.State))
	if err != nil {
		return err
	}
	defer ledger.Close()
	process := ebb.NewProcess(client, ebb.Config{
		Queues: []string{"default"}, Concurrency: slots,
		Groups: []ebb.Group{{Queues: []string{"walk"}, Concurrency: 1}}, // so that it need not wait for the files
		Socket: ebb.NoSocket,                                            // those of killed processes would stay behind
		Logger: log,
	})
	h := &handlers{ledger: ledger, step: s.Step, each: s.Each}
	measureFile.Handle(process, h.measure)
	walkFiles.Handle(process, h.walk)
	return process.Run(ctx)
}

package interop

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	_ "github.com/ebbjobs/ebb/store/redisstore"
	"github.com/ebbjobs/ebb/wire"
)

// pair is one Redis that Ruby and Go share, and Go's side of it.
type pair struct {
	testing.TB
	server *redistest.Server
	client *ebb.Client
	log    *logbook
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{TB: t, server: redistest.Start(t), log: &logbook{}}
	client, err := ebb.Open(t.Context(), p.server.URL())
	p.must(err)
	p.client = client
	t.Cleanup(func() { client.Close() })
	return p
}

func (p *pair) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// ruby runs a program on the driver, for what it does.
func (p *pair) ruby(program string) { p.Helper(); rubyEval(p, p.server, program) }

// word runs a program on the driver whose value is a string.
func (p *pair) word(program string) string { p.Helper(); return rubyInto[string](p, p.server, program) }

// start runs a process until the test ends, or until the returned function is called.
func (p *pair) start(config ebb.Config, register func(*ebb.Process)) (end func()) {
	p.Helper()
	config.Logger, config.Socket = slog.New(slog.NewTextHandler(p.log, nil)), ebb.NoSocket
	process := ebb.NewProcess(p.client, config)
	register(process)
	p.must(process.Start(p.Context()))
	end = sync.OnceFunc(func() {
		if _, err := process.Drain(context.Background()); err != nil {
			p.Errorf("drain: %v", err)
		}
	})
	p.Cleanup(end)
	return end
}

// await waits until something is so.
func (p *pair) await(what string, so func() bool) {
	p.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("never saw %s\n%s", what, p.log)
		}
	}
}

// entries are the jobs of one jid, wherever they are but in somebody's keeping.
func (p *pair) entries(jid string) (found []store.Entry) {
	p.Helper()
	queues, err := p.client.Store().Queues(p.Context())
	p.must(err)
	queries := []store.Query{{Place: store.Scheduled}, {Place: store.Retrying}, {Place: store.Dead}}
	for _, q := range queues {
		queries = append(queries, store.Query{Place: store.Ready, Queue: q.Name})
	}
	for _, q := range queries {
		q.JID = jid
		for e, err := range p.client.Store().Jobs(p.Context(), q) {
			p.must(err)
			found = append(found, e)
		}
	}
	return found
}

// in waits until the job of that jid is in a place, and returns it.
func (p *pair) in(place store.Place, jid string) (e store.Entry, job *wire.Job) {
	p.Helper()
	p.await("job "+jid+" in "+place.String(), func() bool {
		found := p.entries(jid)
		if len(found) == 1 && found[0].Place == place {
			e = found[0]
		}
		return e.Key != ""
	})
	job, err := wire.Parse(e.Payload)
	p.must(err)
	return e, job
}

// logbook keeps what a process logs.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(line)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logbook) count(text string) int { return strings.Count(l.String(), text) }

// runs keeps what handlers were given, by jid.
type runs struct {
	mu   sync.Mutex
	jobs map[string][]run
}

type run struct {
	kind, queue, args string
	job               *wire.Job
}

// handle makes r the handler of kinds: it notes each run and ends with what verdict
// returns, which is nil for all runs if verdict is.
func (r *runs) handle(p *ebb.Process, verdict func(jid string, run int) error, kinds ...string) {
	for _, kind := range kinds {
		p.HandleKind(kind, func(ctx context.Context, job *wire.Job) error {
			info := ebb.Info(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.jobs == nil {
				r.jobs = map[string][]run{}
			}
			r.jobs[job.JID] = append(r.jobs[job.JID], run{info.Kind, info.Queue, string(job.Args), job})
			if verdict == nil {
				return nil
			}
			return verdict(job.JID, len(r.jobs[job.JID]))
		})
	}
}

func (r *runs) of(jid string) []run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[jid]
}

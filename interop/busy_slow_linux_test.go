//go:build slow

package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

func init() { children["worker"] = workerChild }

// workerChild is a worker whose job sleeps for as many seconds as its argument says.
func workerChild() {
	client, err := ebb.Open(context.Background(), os.Getenv("EBB_STORE"))
	if err == nil {
		p := ebb.NewProcess(client, ebb.Config{
			Queues: []string{"critical", "default"}, Weights: map[string]int{"critical": 2}, Concurrency: 3,
			Tag: "shop", Labels: []string{"blue"}, Stop: ebb.StopConfig{Grace: 3 * time.Second},
		})
		sleepJob.Handle(p, func(ctx context.Context, seconds int) error {
			select {
			case <-time.After(time.Duration(seconds) * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		err = errors.Join(p.Run(context.Background()), client.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var sleepJob = ebb.Define[int]("Busy::SleepJob", ebb.Queue("critical"), ebb.Tags("night"))

// goWorker is a running workerChild.
type goWorker struct {
	*pair
	cmd *exec.Cmd
	out string // what it has printed
}

// goWorker starts one, which is killed when the test ends.
func (p *pair) goWorker(env ...string) *goWorker {
	p.Helper()
	w := &goWorker{pair: p, out: filepath.Join(p.TempDir(), "worker.log")}
	out, err := os.Create(w.out)
	p.must(err)
	defer out.Close()
	w.cmd = exec.Command("/proc/self/exe")
	w.cmd.Env = append(os.Environ(), append(env, "EBB_INTEROP_CHILD=worker", "EBB_STORE="+p.server.URL(), "GORACE=atexit_sleep_ms=0")...)
	w.cmd.Stdout, w.cmd.Stderr = out, out
	p.must(w.cmd.Start())
	p.Cleanup(func() {
		w.cmd.Process.Kill()
		w.cmd.Wait()
		if p.Failed() {
			p.Logf("the worker said\n%s", w.printed())
		}
	})
	return w
}

func (w *goWorker) printed() string {
	text, err := os.ReadFile(w.out)
	w.must(err)
	return string(text)
}

// title is the command line of the process, without the zeros that it may end with.
func (w *goWorker) title() string {
	w.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", w.cmd.Process.Pid))
	w.must(err)
	return strings.TrimRight(string(text), "\x00")
}

// titled waits until its title is that.
func (w *goWorker) titled(title string) {
	w.Helper()
	began := time.Now()
	w.await("title "+title, func() bool { return w.title() == title })
	w.Logf("%s after %v", title, time.Since(began).Round(time.Millisecond))
}

// A worker of ebb's is on Sidekiq's page Busy with what it runs. Quiet and Stop on that
// page, and a dump by the API, reach it at once, and it gives back what it ran.
func TestBusyPage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	web := browse(t, p.server)
	w := p.goWorker()
	w.titled("sidekiq 8.1.7 ebb shop [0 of 3 busy]")
	ref, err := sleepJob.Enqueue(t.Context(), p.client, 600)
	p.must(err)
	w.titled("sidekiq 8.1.7 ebb shop [1 of 3 busy]")
	shown := func(want string) {
		t.Helper()
		began := time.Now()
		p.await("on the page Busy: "+want, func() bool {
			return slices.ContainsFunc(web.rows("/busy"), func(row string) bool { return strings.Contains(row, want) })
		})
		t.Logf("%s after %v", want, time.Since(began).Round(time.Millisecond))
	}
	shown(ref.JID + " critical Busy::SleepJob night 600")
	process := p.process()
	name := fmt.Sprintf("%s:%d shop blue", process.Host, w.cmd.Process.Pid)
	shown(name + " Queues: critical, default")
	if row := web.row("/busy", name); !strings.HasSuffix(row, "B 3 1 Quiet Stop") { // after the memory, in KB or MB
		t.Errorf("the page Busy shows %q", row)
	}
	got := rubyInto[map[string]any](t, p.server, `
		p = Sidekiq::ProcessSet.new.first
		info = Sidekiq.load_json(Sidekiq.redis { |c| c.hget(p.identity, "info") })
		{ identity: p.identity, queues: p.queues, labels: p.labels, tag: p.tag, threads: p["concurrency"], busy: p["busy"], stopping: p.stopping?,
		  rss: p["rss"].to_i.between?(1_000, 10_000_000), rtt: p["rtt_us"].to_i.between?(1, 60_000_000), beat: (Time.now.to_f - p["beat"].to_f).abs < 60,
		  version: info["version"].start_with?("ebb "), embedded: info["embedded"], weights: info["weights"], capsules: info["capsules"] }
	`)
	weights := map[string]any{"critical": 2.0, "default": 1.0}
	want := map[string]any{
		"identity": string(process.ID), "queues": []any{"critical", "default"}, "labels": []any{"blue"}, "tag": "shop", "threads": 3.0, "busy": 1.0,
		"stopping": false, "rss": true, "rtt": true, "beat": true, "version": true, "embedded": false, "weights": []any{weights},
		"capsules": map[string]any{"default": map[string]any{"concurrency": 3.0, "mode": "weighted", "weights": weights}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Ruby's API tells (-want +got):\n%s", diff)
	}

	p.ruby(`Sidekiq::ProcessSet.new.first.dump_threads`)
	p.await("a dump", func() bool { return strings.Contains(w.printed(), "goroutine ") })
	web.press("/busy", "/busy", "quiet", "identity", string(process.ID))
	w.titled("sidekiq 8.1.7 ebb shop [1 of 3 busy] stopping")
	shown(name + " quiet")
	if row := web.row("/busy", name); strings.Contains(row, "Quiet") {
		t.Errorf("a quiet process can be quieted: %q", row)
	}
	web.press("/busy", "/busy", "stop", "identity", string(process.ID))
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("after Stop: %v", err)
	}
	if _, job := p.in(store.Ready, ref.JID); job.Count != -1 {
		t.Errorf("a stop counts as a failure: %d", job.Count)
	}
	if rows := web.rows("/busy"); slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, "shop") }) {
		t.Errorf("it has left, and the page Busy shows %q", rows)
	}
}

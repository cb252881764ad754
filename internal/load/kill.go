package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ebbjobs/ebb"
)

// Starter makes the command of a worker process, which must call Work with this
// folder and end when its standard input does.
type Starter func(dir string, slots int) *exec.Cmd

// Kill is what became of jobs whose processes were killed.
type Kill struct {
	Kills int `json:"kills"`
	Jobs  int `json:"jobs"`
	// Cut is how many jobs ran when their process was killed, Twice how many were
	// begun more than once, Lost how many never came to their end.
	Cut   int     `json:"cut"`
	Twice int     `json:"run_twice"`
	Lost  int     `json:"lost"`
	Back  Latency `json:"back"` // from the kill until a job that was cut runs again
}

const (
	killWorkers = 2
	hold        = 2 * time.Millisecond // how long a job takes, so that some are cut
	stuck       = 2 * time.Minute      // without any job ending, what is left counts as lost
)

// kill drains with two worker processes of which one is killed again and again, and
// counts what each of them has noted of every job.
func (o *Options) kill(ctx context.Context, pad string) (*Kill, error) {
	dir, err := os.MkdirTemp("", "ebb-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := o.batches(ctx, pad); err != nil {
		return nil, err
	}
	w := &workers{dir: dir, start: o.Worker, slots: o.Slots, killed: map[int]time.Time{}}
	defer w.end()
	for range killWorkers {
		if err := w.add(); err != nil {
			return nil, err
		}
	}
	counted := &tally{dir: dir, read: map[string]int64{}, runs: map[uint32][]run{}}
	last, changed := 0, time.Now()
	for tick := time.Tick(20 * time.Millisecond); ; {
		if err := counted.look(); err != nil {
			return nil, err
		}
		done := counted.done
		o.Progress(fmt.Sprintf("drain, %d of %d kills", len(w.killed), o.Kills), int64(done), int64(o.Jobs))
		if done != last {
			last, changed = done, time.Now()
		}
		if done >= o.Jobs || time.Since(changed) > stuck {
			break
		}
		if len(w.killed) < o.Kills && done*(o.Kills+1) >= o.Jobs*(len(w.killed)+1) {
			if err := w.kill(); err != nil {
				return nil, err
			}
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	w.end()
	if err := counted.look(); err != nil {
		return nil, err
	}
	return counted.sum(o.Jobs, w.killed), nil
}

// workers are the processes that are killed.
type workers struct {
	dir    string
	start  Starter
	slots  int
	alive  []*worker
	killed map[int]time.Time
	wait   sync.WaitGroup
}

type worker struct {
	cmd   *exec.Cmd
	leash io.Closer
}

func (w *workers) add() error {
	cmd := w.start(w.dir, w.slots)
	leash, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	w.alive = append(w.alive, &worker{cmd, leash})
	w.wait.Go(func() { cmd.Wait() })
	return nil
}

// kill kills the oldest and starts another.
func (w *workers) kill() error {
	victim := w.alive[0]
	w.alive = w.alive[1:]
	if err := victim.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	w.killed[victim.cmd.Process.Pid] = time.Now()
	return w.add()
}

// end lets all that live end by themselves, and waits for them. A second call does
// nothing.
func (w *workers) end() {
	for _, a := range w.alive {
		a.leash.Close()
	}
	w.alive = nil
	w.wait.Wait()
}

// A note is what a worker process writes of a job, into a file of its own: whether
// it began or ended, which it is, and when.
const noteSize = 13

const (
	began = 'b'
	ended = 'e'
)

// Work is a worker process. It runs jobs of the measurement until told ends.
func Work(ctx context.Context, client *ebb.Client, dir string, slots int, told io.Reader, log *slog.Logger) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		io.Copy(io.Discard, told)
		end()
	}()
	notes, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(os.Getpid())), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer notes.Close()
	note := func(what byte, n int64) error {
		b := binary.BigEndian.AppendUint32([]byte{what}, uint32(n))
		_, err := notes.Write(binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixNano())))
		return err
	}
	p := ebb.NewProcess(client, ebb.Config{Queues: []string{Queue}, Concurrency: slots, Logger: log, Socket: ebb.NoSocket, Tag: "bench"})
	job.Handle(p, func(ctx context.Context, j noop) error {
		if err := note(began, j.N); err != nil {
			return err
		}
		select {
		case <-time.After(hold):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return note(ended, j.N)
	})
	return p.Run(ctx)
}

// tally reads the notes.
type tally struct {
	dir  string
	read map[string]int64 // how far each file was read
	runs map[uint32][]run // of each job
	done int              // jobs that ended
}

type run struct {
	pid          int
	began, ended time.Time
}

func (t *tally) look() error {
	files, err := os.ReadDir(t.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := t.readFile(f); err != nil {
			return err
		}
	}
	return nil
}

func (t *tally) readFile(entry fs.DirEntry) error {
	pid, err := strconv.Atoi(entry.Name())
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(t.dir, entry.Name()))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(t.read[entry.Name()], io.SeekStart); err != nil {
		return err
	}
	b := make([]byte, noteSize)
	for in := bufio.NewReader(f); ; {
		if _, err := io.ReadFull(in, b); err != nil {
			return nil // the rest is being written, or never will be
		}
		t.read[entry.Name()] += noteSize
		t.note(pid, b)
	}
}

func (t *tally) note(pid int, b []byte) {
	n, at := binary.BigEndian.Uint32(b[1:]), time.Unix(0, int64(binary.BigEndian.Uint64(b[5:])))
	if b[0] == began {
		t.runs[n] = append(t.runs[n], run{pid: pid, began: at})
		return
	}
	for i := range t.runs[n] {
		if r := &t.runs[n][i]; r.pid == pid && r.ended.IsZero() {
			if !t.over(n) {
				t.done++
			}
			r.ended = at
			return
		}
	}
}

// over reports whether a job has come to its end.
func (t *tally) over(n uint32) bool {
	for _, r := range t.runs[n] {
		if !r.ended.IsZero() {
			return true
		}
	}
	return false
}

// sum says what became of jobs, given who was killed and when.
func (t *tally) sum(jobs int, killed map[int]time.Time) *Kill {
	k := &Kill{Kills: len(killed), Jobs: jobs, Lost: jobs - t.done}
	back := histogram()
	for _, runs := range t.runs {
		if len(runs) > 1 {
			k.Twice++
		}
		for _, cut := range runs {
			at, ok := killed[cut.pid]
			if !ok || !cut.ended.IsZero() {
				continue
			}
			k.Cut++
			var again time.Time
			for _, r := range runs {
				if r.pid != cut.pid && r.began.After(cut.began) && (again.IsZero() || r.began.Before(again)) {
					again = r.began
				}
			}
			if !again.IsZero() {
				record(back, again.Sub(at))
			}
		}
	}
	k.Back = latency(back)
	return k
}

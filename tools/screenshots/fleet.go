package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// handlers are what the fleet runs: one job that takes long and can go on where it was,
// one that always fails, and a few that just take their time.
const handlers = `
handlers:
  ReportJob: {command: [sh, report.sh]}
  InvoiceJob: {command: [sh, -c, "echo 'card_declined: insufficient funds' >&2; exit 1"]}
  ImportJob: {command: [sh, -c, "echo 'no such file: customers.csv' >&2; exit 1"]}
  EmailJob: {command: [sleep, "0.2"]}
  ThumbnailJob: {command: [sleep, "1.3"]}
`

const report = `
trap 'exit 143' TERM
n=0
[ -s "$EBB_CHECKPOINT" ] && n=$(cat "$EBB_CHECKPOINT")
while [ "$n" -lt 1900 ]; do
	sleep 0.1
	n=$((n + 1))
	echo "$n" >"$EBB_CHECKPOINT.new" && mv "$EBB_CHECKPOINT.new" "$EBB_CHECKPOINT"
done
`

// fleet is processes on a store of their own.
type fleet struct {
	dir, program, store string
	started             []*exec.Cmd
	left                string // identity of one that a deploy has ended
}

func (f *fleet) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, f.program, args...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "EBB_STORE="+f.store, "NO_COLOR=1")
	return cmd
}

// ebb runs a command to its end, and returns what it prints.
func (f *fleet) ebb(ctx context.Context, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := f.command(ctx, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ebb %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out, nil
}

func (f *fleet) start(cmd *exec.Cmd) error {
	err := cmd.Start()
	if err == nil {
		f.started = append(f.started, cmd)
	}
	return err
}

// end ends all that were started. It may be called again.
func (f *fleet) end() {
	for _, cmd := range f.started {
		cmd.Process.Kill()
		cmd.Wait()
	}
	f.started = nil
}

// work starts a process.
func (f *fleet) work(ctx context.Context, release string) (*exec.Cmd, error) {
	cmd := f.command(ctx, "work", "--release", release, "-c", "6", "--grace", "10s", "-q", "reports,3", "-q", "default,2", "-q", "mailers")
	return cmd, f.start(cmd)
}

// live is what has happened before the pictures are taken: jobs have run and failed, a
// process was killed, and a deploy has ended the others.
func (f *fleet) live(ctx context.Context) error {
	for name, text := range map[string]string{"ebb.yml": handlers, "report.sh": report} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := f.enqueue(ctx); err != nil {
		return err
	}
	var old []*exec.Cmd
	for range 4 {
		w, err := f.work(ctx, "v142")
		if err != nil {
			return err
		}
		old = append(old, w)
	}
	if err := f.busy(ctx, 4); err != nil {
		return err
	}
	old[0].Process.Kill() // rescued by the others
	if err := sleep(ctx, 12*time.Second); err != nil {
		return err
	}
	if err := f.byHand(ctx); err != nil {
		return err
	}
	for i, w := range old[1:] {
		if _, err := f.work(ctx, "v143"); err != nil {
			return err
		}
		if err := f.busy(ctx, 1); err != nil {
			return err
		}
		if i == 0 {
			processes, err := f.ebb(ctx, "processes", "ls", "-o", "json")
			if err != nil {
				return err
			}
			f.left = identityOf(processes, w.Process.Pid)
		}
		if err := w.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		if err := sleep(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return sleep(ctx, 9*time.Second) // the last one has ended, too
}

// enqueue makes the work of a morning.
func (f *fleet) enqueue(ctx context.Context) error {
	var lines bytes.Buffer
	for _, some := range []struct {
		n    int
		kind string
		more string // fields
	}{
		{40, "InvoiceJob", `"queue":"default"`}, {6, "ImportJob", `"queue":"default","retry":0`}, {12, "ImportJob", `"queue":"imports"`},
		{12, "ReportJob", `"queue":"reports"`}, {400, "EmailJob", `"queue":"mailers"`}, {300, "ThumbnailJob", `"queue":"default"`},
		{30, "DigestJob", `"queue":"mailers","in":"40m"`}, {8, "CleanupJob", `"queue":"default","in":"9h"`},
	} {
		for i := range some.n {
			fmt.Fprintf(&lines, `{"kind":%q,"args":[{"order":%d,"format":"pdf"}],%s}`+"\n", some.kind, 7700+i, some.more)
		}
	}
	cmd := f.command(ctx, "enqueue", "--from", "-")
	cmd.Stdin = &lines
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ebb enqueue: %w\n%s", err, out)
	}
	return nil
}

// byHand is what people have done.
func (f *fleet) byHand(ctx context.Context) error {
	for _, args := range [][]string{
		{"queues", "pause", "imports"},
		{"jobs", "delete", "kind:CleanupJob state:scheduled", "--yes"},
		{"jobs", "bury", "kind:InvoiceJob state:retry", "-n", "5", "--yes"},
	} {
		if _, err := f.ebb(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// busy waits until so many processes run jobs.
func (f *fleet) busy(ctx context.Context, want int) error {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		out, err := f.ebb(ctx, "processes", "ls", "-o", "json")
		if err != nil {
			return err
		}
		if strings.Count(string(out), `"running"`) >= want {
			return nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("no %d processes within two minutes", want)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// first is a field of the first object of a JSON array; "none" if there is none.
func first(text []byte, field string) string {
	var all []map[string]any
	if json.Unmarshal(text, &all) != nil || len(all) == 0 || all[0][field] == nil {
		return "none"
	}
	return fmt.Sprint(all[0][field])
}

// identityOf is the identity of the process with that number.
func identityOf(processes []byte, pid int) string {
	var all []struct{ ID string }
	if err := json.Unmarshal(processes, &all); err != nil {
		return err.Error()
	}
	for _, p := range all {
		if strings.Contains(p.ID, ":"+strconv.Itoa(pid)+":") {
			return p.ID
		}
	}
	return "none"
}

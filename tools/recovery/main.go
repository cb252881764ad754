// Command recovery measures how long it takes until jobs whose process was killed
// run again: on SQLite, on Redis, and on Redis as it would be if there were nothing
// but the lease. It builds ebb, starts a Redis of its own, lets ebb bench kill real
// processes beside others that live, and prints the table for
// docs/reference/performance.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "recovery:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	kills := flag.Int("kills", 20, "how often on each store")
	flag.Parse()
	dir, err := os.MkdirTemp("", "ebb-recovery-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ebb := filepath.Join(dir, "ebb")
	build := exec.CommandContext(ctx, "go", "-C", "..", "build", "-o", ebb, "./cmd/ebb")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build ebb: %w", err)
	}
	redis, end, err := startRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer end()
	rows := []row{
		{name: "SQLite", store: "sqlite:" + filepath.Join(dir, "ebb.db")},
		{name: "Redis", store: redis},
		{name: "Redis, by the lease alone", store: redis, flags: []string{"--lease-only"}},
	}
	for i := range rows {
		fmt.Fprintln(os.Stderr, rows[i].name)
		if err := rows[i].measure(ctx, dir, ebb, *kills); err != nil {
			return fmt.Errorf("%s: %w", rows[i].name, err)
		}
	}
	print(rows)
	return nil
}

// row is a line of the table.
type row struct {
	name, store string
	flags       []string
	Kill        struct {
		Kills, Cut, Lost int
		Back             struct {
			P50 float64 `json:"p50_seconds"`
			P90 float64 `json:"p90_seconds"`
			Max float64 `json:"max_seconds"`
		}
	}
}

func (r *row) measure(ctx context.Context, dir, ebb string, kills int) error {
	report := filepath.Join(dir, "report.json")
	args := append([]string{"bench", "--jobs", "500", "-c", "10", "--kill", strconv.Itoa(kills), "--report", report}, r.flags...)
	cmd := exec.CommandContext(ctx, ebb, args...)
	cmd.Env = append(os.Environ(), "EBB_STORE="+r.store)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its workers
	if out, err := cmd.Output(); err != nil {
		return fmt.Errorf("ebb bench: %w\n%s", err, out)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, r); err != nil {
		return err
	}
	if r.Kill.Kills != kills || r.Kill.Cut == 0 {
		return fmt.Errorf("%d kills cut %d jobs", r.Kill.Kills, r.Kill.Cut)
	}
	return nil
}

func print(rows []row) {
	fmt.Println("| store | kills | jobs cut | KILL → all of them running again: median | p90 | longest | lost |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, r := range rows {
		k := r.Kill
		fmt.Printf("| %s | %d | %d | %.2f s | %.2f s | %.2f s | %d |\n", r.name, k.Kills, k.Cut, k.Back.P50, k.Back.P90, k.Back.Max, k.Lost)
	}
}

// startRedis starts a server without persistence on a free port.
func startRedis(ctx context.Context, dir string) (url string, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no", "--loglevel", "warning")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() { cmd.Process.Kill(); cmd.Wait() }
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return "redis://" + addr + "/0", end, nil
		}
		if time.Since(began) > 10*time.Second {
			end()
			return "", nil, fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
}

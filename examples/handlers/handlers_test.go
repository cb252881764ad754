//go:build unix

package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/command"
	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

func TestMain(m *testing.M) {
	if command.IsGuard(os.Args) {
		command.GuardMain()
	}
	goleak.VerifyTestMain(m)
}

// TestCount: every number is there once.
func TestCount(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	for i := range 8 {
		fmt.Fprintf(&want, "%d of 8\n", i+1)
	}
	got := strings.ReplaceAll(interrupted(t, "Count", 8), "Terminated\n", "") // says the shell of its sleep
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// TestResize: the picture is what it would be without an interruption.
func TestResize(t *testing.T) {
	t.Parallel()
	needs(t, "python3", "python3")
	dir := t.TempDir()
	const width, height, smaller = 800, 800, 400
	picture := fmt.Appendf(nil, "P6\n# of every colour\n%d %d\n255\n", width, height)
	colour := func(x, y, c int) byte { return byte(x*(c+1) + 3*y) }
	for y := range height {
		for x := range width {
			picture = append(picture, colour(x, y, 0), colour(x, y, 1), colour(x, y, 2))
		}
	}
	want := fmt.Appendf(nil, "P6\n%d %d\n255\n", smaller, smaller)
	for y := 0; y < height; y += 2 {
		for x := 0; x < width; x += 2 {
			for c := range 3 {
				sum := int(colour(x, y, c)) + int(colour(x+1, y, c)) + int(colour(x, y+1, c)) + int(colour(x+1, y+1, c))
				want = append(want, byte(sum/4))
			}
		}
	}
	original, result := filepath.Join(dir, "original.ppm"), filepath.Join(dir, "small.ppm")
	if err := os.WriteFile(original, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	said := interrupted(t, "Resize", original, result, smaller)
	var row int
	if _, err := fmt.Sscanf(said, "400 x 400, from 800 x 800; began at row %d", &row); err != nil || row == 0 {
		t.Errorf("it did not go on where it was: %s", said)
	}
	if got, err := os.ReadFile(result); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the picture is not right: %d bytes, %v", len(got), err)
	}
}

// TestReport: every line counts once.
func TestReport(t *testing.T) {
	t.Parallel()
	needs(t, "node", "nodejs")
	dir := t.TempDir()
	var sales bytes.Buffer
	const lines = 1_500_000
	for i := range lines {
		fmt.Fprintf(&sales, "%s,%d.10\n", [...]string{"Österreich", "Italia", "Norge"}[i%3], i%10)
	}
	sales.WriteString("Norge,0.01") // and no end of the line
	input, output := filepath.Join(dir, "sales.csv"), filepath.Join(dir, "totals.json")
	if err := os.WriteFile(input, sales.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	said := interrupted(t, "Report", input, output)
	var offset int
	if _, err := fmt.Sscanf(said, "3 countries; began at byte %d", &offset); err != nil || offset == 0 {
		t.Errorf("it did not go on where it was: %s", said)
	}
	raw, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]float64
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	each := lines / 3 * 4.6 // 0.10 to 9.10, equally often
	if diff := cmp.Diff(map[string]float64{"Österreich": each, "Italia": each, "Norge": each + 0.01}, got); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

func needs(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("this test needs %s: apt-get install %s", program, debian)
	}
}

// interrupted runs a job by the handler that ebb.yml declares, has its first run
// told to end in the middle, and returns what its runs have printed. A run that
// was told before it had saved anything proves nothing; the next one is told later.
func interrupted(t *testing.T, kind string, args ...any) string {
	t.Helper()
	settings, err := config.Load(config.Input{Getenv: func(string) string { return "" }, File: "ebb.yml"})
	if err != nil {
		t.Fatal(err)
	}
	var spec command.Spec
	for _, h := range settings.Handlers {
		if h.Kind == kind {
			spec = h.Spec
		}
	}
	if err := spec.Check(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	guards := command.NewGuards(log)
	defer guards.Close()
	var out printed
	handler := command.New(spec, command.Options{Guards: guards, Log: log, Output: &out})

	client := ebb.NewClient(memstore.New(memstore.Options{}))
	process := ebb.NewProcess(client, ebb.Config{Logger: log})
	over := make(chan error, 1)
	patience := 300 * time.Millisecond
	process.HandleKind(kind, func(ctx context.Context, job *wire.Job) error {
		if len(job.History.Checkpoint) > 0 {
			over <- handler.Run(ctx, job)
			return nil
		}
		ctx, end := context.WithCancelCause(ctx)
		timer := time.AfterFunc(patience, func() { end(ebb.ErrDraining) })
		defer timer.Stop()
		patience *= 2
		err := handler.Run(ctx, job)
		if errors.Is(err, ebb.ErrDraining) {
			return ebb.ErrYield
		}
		over <- fmt.Errorf("ended before it could be interrupted, with %v", err)
		return nil
	})
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(t.Context(), ebb.Envelope{Kind: kind, Args: raw}); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Errorf("%s: %v\n%s", kind, err, out.String())
	}
	if _, err := process.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	return out.String()
}

// printed collects lines, without what is put in front of them.
type printed struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *printed) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, text, _ := strings.Cut(string(line), ": ")
	p.text.WriteString(text)
	return len(line), nil
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

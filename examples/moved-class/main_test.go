package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/internal/signature"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const guide = "../../docs/guides/move-a-class.md"

// ruby is a Rails process: before the class is moved, for one call of it, and after.
const ruby = `
require "sidekiq"
Sidekiq.configure_client { |c| c.redis = { url: ENV["REDIS_URL"] } }
load "before.rb"
InvoiceJob.perform_async(1)
InvoiceJob.set(queue: "invoices-go").perform_async(2, "de", { "copy" => true })
load "after.rb"
InvoiceJob.perform_async(3)
InvoiceJob.perform_async(4)
`

// TestMove: each job runs in the language of the queue that it was enqueued for, and a
// failure keeps it there.
func TestMove(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rails := exec.CommandContext(t.Context(), "ruby", "-e", ruby)
	rails.Env = append(os.Environ(), "REDIS_URL="+server.URL(), "RUBYOPT=-W0")
	if out, err := rails.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nhint: apt-get install ruby-sidekiq", err, out)
	}

	client, err := ebb.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ran := make(chan Invoice)
	process := newProcess(client, func(_ context.Context, i Invoice) error {
		ran <- i
		if i.OrderID == 4 {
			return errors.New("no such order")
		}
		return nil
	})
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[int64]Invoice{}
	for range 3 {
		select {
		case i := <-ran:
			got[i.OrderID] = i
		case <-time.After(30 * time.Second):
			t.Fatalf("only %v ran", got)
		}
	}
	if _, err := process.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[int64]Invoice{2: {OrderID: 2, Locale: "de", Options: Options{Copy: true}}, 3: {OrderID: 3}, 4: {OrderID: 4}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if waits := server.Do("LRANGE", "queue:default", "0", "-1"); !strings.Contains(waits, `"args":[1]`) {
		t.Errorf("for Ruby there is %s", waits)
	}
	if failed := server.Do("ZRANGE", "retry", "0", "-1"); !strings.Contains(failed, `"queue":"invoices-go"`) || !strings.Contains(failed, "no such order") {
		t.Errorf("failed: %s", failed)
	}
}

// TestGuide: the guide shows this program, its classes, and what ebb vet says of it.
func TestGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, file := range []string{"main.go", "before.rb", "after.rb", "main_test.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(source)
	}
	blocks := 0
	for _, block := range strings.Split(string(text), "\n```")[1:] {
		language, code, _ := strings.Cut(block, "\n")
		if language != "go" && language != "ruby" {
			continue
		}
		blocks++
		for part := range strings.SplitSeq(strings.TrimSpace(code), "\n\n") {
			if !strings.Contains(sources.String(), part) {
				t.Errorf("no file has\n%s", part)
			}
		}
	}
	if blocks < 3 {
		t.Errorf("%d blocks of code", blocks)
	}
	kinds, err := signature.Load(t.Context(), filepath.Join("..", ".."), nil, "./examples/moved-class")
	if err != nil {
		t.Fatal(err)
	}
	if len(kinds) != 1 || !strings.Contains(string(text), kinds[0].Ruby()) {
		t.Errorf("the guide does not say %v", kinds)
	}
}

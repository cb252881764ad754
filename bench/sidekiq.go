package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strconv"
)

//go:embed sidekiq.rb
var sidekiqJob []byte

// Sidekiq's jobs are enqueued by ebb, in Sidekiq's own format, and run by Ruby.
var sidekiqRedis = system{name: "sidekiq", redis: true, open: openEbbRedis, command: sidekiqCommand}

func sidekiqCommand(dir, addr string, concurrency, jobs int) (string, []string, []string) {
	script := filepath.Join(dir, "noop.rb")
	if err := os.WriteFile(script, sidekiqJob, 0o600); err != nil {
		panic(err) // the folder was made a moment ago
	}
	return "sidekiq", []string{"-r", script, "-c", strconv.Itoa(concurrency), "-q", "default"},
		[]string{"REDIS_URL=redis://" + addr + "/0", "JOBS=" + strconv.Itoa(jobs)}
}

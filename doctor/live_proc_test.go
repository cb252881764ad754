package doctor

import (
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/internal/platform"
)

func TestWorkersAreKnownByTheirTitles(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]workerKind{
		"sidekiq 7.3.10 shop [0 of 5 busy]":                 sidekiqWorker,
		"sidekiq 8.1.7 ebb [2 of 10 busy]":                  ebbWorker,
		"sidekiq 8.1.7 ebb my shop [2 of 10 busy] stopping": ebbWorker,
		"sidekiq 8.1.7 ebbtide [2 of 10 busy]":              sidekiqWorker,
		"/usr/bin/ebb work":                                 ebbWorker,
		"grep sidekiq 8.1.7 ebb [2 of 10 busy]":             unknownWorker,
	} {
		for _, argv := range [][]string{{line}, strings.Fields(line)} {
			if got := kindOfProcess(platform.Process{Argv: argv}); got != want {
				t.Errorf("%q is taken for %q, want %q", line, got, want)
			}
		}
	}
}

package main

import (
	"context"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "work" { // started by startWorker
		main()
		return
	}
	os.Exit(m.Run())
}

// TestEverySystemIsMeasured takes every figure once, of very little work.
func TestEverySystemIsMeasured(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f, err := measure(ctx, s, load{backlog: 100, jobs: 200, probes: 1, span: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if math.IsNaN(f[drained]) || f[drained] <= 0 {
				t.Errorf("drained %v jobs/s", f[drained])
			}
		})
	}
}

func TestTabulate(t *testing.T) {
	us, them := noFigures(), noFigures()
	us[drained], us[workerCPU], us[serverCPU] = 20_000, 10, 10
	them[drained], them[workerCPU], them[serverCPU] = 4000.4, 150, 50
	var out strings.Builder
	tabulate(&out, 1000, []system{ebbRedis, asynqRedis},
		map[string][]figures{ebbRedis.name: {us, us}, asynqRedis.name: {them, us, them}})
	for _, want := range []string{
		"| ebb on Redis | – | – | – | 20,000 | 10 | 10 |",
		"| asynq | – | – | – | 4,000 | 150 | 50 |",
		"ebb on Redis beside asynq: drain 5 ×, CPU a job 1/10\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

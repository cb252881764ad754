package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

const exampleSettings = `queues: [default, images]
groups:
  heavy: {queues: [reports], concurrency: 2, grace: 10s}
  fast: {queues: [images, default]}
handlers:
  ResizeImage: {command: ["true"]}
  WelcomeJob: {command: ["true"]}
`

const exampleSidekiq = ":concurrency: 5\n:queues: [[critical, 2], default]\nproduction:\n  :concurrency: <%= ENV['THREADS'] %>\n"

// exampleImage and exampleManifest are as ebb doctor likes them.
const (
	exampleImage    = "FROM debian:12\nCOPY ebb /ebb\nENTRYPOINT [\"/ebb\", \"init\", \"--\"]\nCMD [\"/ebb\", \"work\"]\n"
	exampleManifest = `apiVersion: v1
kind: Pod
metadata: {name: worker}
spec:
  terminationGracePeriodSeconds: 60
  containers:
    - name: worker
      image: worker
      env: [{name: EBB_GRACE, value: 60s}]
`
)

// scratch makes the folder in which examples run: a seeded store, settings, a module
// with jobs, and what else the examples of this name need to find.
func scratch(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "ebb.db")
	if err := seed(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(repo)
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := os.ReadFile(filepath.Join(root, "internal/signature/testdata/jobs/jobs.go"))
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"ebb.yml": exampleSettings, "deploy/ebb.yml": exampleSettings, "Dockerfile": exampleImage, "k8s/worker.yaml": exampleManifest, "jobs/jobs.go": string(jobs),
		"config/sidekiq.yml": exampleSidekiq, "tmp/.keep": "", "jobs.jsonl": `{"kind":"WelcomeJob","args":[44,"it"]}` + "\n",
		"go.mod": "module example.com/shop\n\ngo 1.26.0\n\nrequire github.com/ebbjobs/ebb v0.0.0\n\nreplace github.com/ebbjobs/ebb => " + root + "\n",
	} {
		file = filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{"people": "ada:admin:secret\n", "roles": "*:viewer\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case strings.HasPrefix(name, "ebb processes"):
		actor(t, url)
	case name == "ebb guard":
		if err := os.WriteFile(filepath.Join(dir, storeFile), []byte(rubyAlone(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	case name == "ebb rescue":
		loser(t, url)
	case name == "ebb restore":
		runLine(t, dir, "ebb backup ebb.backup")
	case name == "ebb undo":
		for _, id := range []string{"0dd5e7", "a7f3c2", "1a57ed"} {
			undoable(t, url, id)
		}
	}
	return dir
}

// hostOne is a process of the same host as the one that seed has leave.
var hostOne = store.Presence{ID: "host-1:7:ba9876543210", Host: "host-1", PID: 7, Release: "v142", Concurrency: 2, State: "running"}

// storeFile names the store of a folder whose examples want another one than SQLite.
const storeFile = ".store"

// rubyAlone starts a server on which a process of Ruby's runs a job, and returns its URL.
func rubyAlone(t *testing.T) string {
	t.Helper()
	server := redistest.Start(t)
	const id = "host-1:7:ba9876543210"
	server.Do("SADD", "processes", id)
	server.Do("HSET", id, "info", `{"hostname":"host-1","pid":7,"queues":["default"]}`, "beat", "1767225600.5", "quiet", "false")
	server.Do("HSET", id+":work", "8c0", `{"queue":"default","payload":"{\"class\":\"SlowJob\",\"args\":[7],\"jid\":\"0199aa00bb00cc00dd000077\"}","run_at":1767225590}`)
	return server.URL()
}

// newcomer is a process of the release that comes next, and lives until the test ends.
func newcomer(t *testing.T, url string) {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p := hostOne
	p.ID, p.Release, p.Started = "host-2:7:ba9876543210", "v143", time.Now()
	beat(t.Context(), t, s, p)
}

// actor plays a process that does what it is told, until the test ends.
func actor(t *testing.T, url string) {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	p := hostOne
	p.Started = time.Now()
	beat(t.Context(), t, s, p)
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	var acting sync.WaitGroup
	acting.Go(func() {
		for pause := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; {
			orders, _ := s.Beat(ctx, p, time.Minute)
			for _, c := range orders.Commands {
				switch c.Verb {
				case store.Quiet:
					p.State = "quiet"
				case store.Resume:
					p.State = "running"
				case store.Stop:
					left := p.ID
					p.ID = store.Identity(strings.TrimSuffix(string(p.ID), "0") + "1")
					p.State = "running"
					s.Beat(ctx, p, time.Minute) // the next example wants somebody again
					s.Leave(ctx, store.Call{By: left, Lane: store.LaneVerdict, Seq: 1}, store.Farewell{ID: left, Report: store.StopReport{ID: left, Reason: "stop command"}})
				}
			}
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { end(); acting.Wait(); s.Close() })
}

// loser leaves behind a process that died with a job.
func loser(t *testing.T, url string) {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	p := hostOne
	p.Started = time.Now()
	beat(t.Context(), t, s, p)
	_, _, err = s.Fetch(t.Context(), store.Call{By: p.ID, Lane: store.LaneFetch, Seq: 1}, store.Plan{Queues: []store.Share{{Queue: "images"}}}, 1, 0)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// undoable deletes a job so that it can be brought back.
func undoable(t *testing.T, url, id string) {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, now := t.Context(), time.Now()
	for e, err := range s.Jobs(ctx, store.Query{Place: store.Ready, Queue: "images", Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Delete(ctx, store.Undoable{Change: id, For: 10 * time.Minute}, store.Pick{Key: e.Key}); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Record(ctx, store.Change{ID: id, By: "ada@shop", Verb: "delete", What: "queue:images", Wanted: 1, Done: 1, Began: now, Ended: now, Until: now.Add(10 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
}

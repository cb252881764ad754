package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// answers are calls of commands that print JSON, by command, against a store that is
// seeded and peopled.
var answers = map[string][]string{
	"books":            {"books"},
	"jobs bury":        {"jobs", "bury", "0004", "--yes"},
	"jobs delete":      {"jobs", "delete", "--all", "--yes"},
	"jobs ls":          {"jobs", "ls"},
	"jobs reschedule":  {"jobs", "reschedule", "kind:ReportJob", "--in", "1h", "--yes"},
	"jobs retry":       {"jobs", "retry", "kind:InvoiceJob", "--yes"},
	"jobs show":        {"jobs", "show", "0009", "--payload"},
	"config":           {"config"},
	"config keys":      {"config", "keys"},
	"doctor":           {"doctor", "--fail-on", "never", "../../doctor/testdata/D19/bad"},
	"enqueue":          {"enqueue", "ResizeImage", "cat.jpg", "--in", "1h"},
	"processes ls":     {"processes", "ls"},
	"processes quiet":  {"processes", "quiet", "host-1:7"},
	"processes resume": {"processes", "resume", "host-1:7"},
	"processes show":   {"processes", "show", "host-1:7"},
	"processes stop":   {"processes", "stop", "host-1:7", "--yes"},
	"queues clear":     {"queues", "clear", "images", "--yes"},
	"queues ls":        {"queues", "ls"},
	"queues move":      {"queues", "move", "images", "default", "--dry-run"},
	"queues show":      {"queues", "show", "images"},
	"rescue":           {"rescue", "--yes", "--identity", "host-3"},
	"schema":           {"schema"},
	"sequence explain": {"sequence", "explain", "TTIN;1h;TERM", "--grace", "2h"},
	"stats":            {"stats"},
	"stops ls":         {"stops", "ls"},
	"stops show":       {"stops", "show", "host-1"},
	"version":          {"version"},
}

func TestAnswersMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	for _, command := range slices.Sorted(maps.Keys(answers)) {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + filepath.Join(t.TempDir(), "ebb.db")
			if err := seed(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			people(t, url)
			var answer, said bytes.Buffer
			args := append(slices.Clone(answers[command]), "-o", "json")
			if exit := run(t.Context(), args, strings.NewReader(""), &answer, &said, []string{"EBB_STORE=" + url}); exit != 0 {
				t.Fatalf("exit %d: %s", exit, &said)
			}
			matchesSchema(t, command, answer.Bytes())
			if strings.TrimSpace(answer.String()) == "[]" {
				t.Error("there is no row to compare")
			}
		})
	}
}

// matchesSchema wants JSON that a command printed to be as the command's schema says.
func matchesSchema(t *testing.T, command string, document []byte) {
	t.Helper()
	known, ok := outputs[command]
	if !ok {
		t.Fatalf("%s has no schema", command)
	}
	schema, err := known()
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	if err := resolved.Validate(value); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
}

// people adds processes to a seeded store: host-1:7 lives and runs a job, and
// host-3:7 is gone and held one.
func people(t *testing.T, url string) {
	t.Helper()
	lost := begin(t, url, "host-3:7:3333456789ab")
	if err := lost.Close(); err != nil { // lets go of the lock, as death does
		t.Fatal(err)
	}
	living := begin(t, url, "host-1:7:1111456789ab")
	t.Cleanup(func() { living.Close() })
}

// begin registers a process, which takes a job and keeps it.
func begin(t *testing.T, url string, id store.Identity) store.Store {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	p := store.Presence{
		ID: id, Host: id.Host(), PID: id.PID(), Release: "v142", Version: "v0.1.0", Labels: []string{"eu"},
		Started: time.Now(), Concurrency: 2, State: "running", Grace: 30 * time.Second, RSS: 1 << 20,
		Groups: []store.Group{{Name: "default", Concurrency: 2, Queues: []store.Share{{Queue: "images", Weight: 2}}}},
	}
	beat(t.Context(), t, s, p)
	jobs, _, err := s.Fetch(t.Context(), store.Call{By: p.ID, Lane: store.LaneFetch, Seq: 1}, store.Plan{Queues: []store.Share{{Queue: "images"}}}, 1, 0)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("fetched %d jobs, %v", len(jobs), err)
	}
	p.Busy = []store.Run{{Slot: "1", Token: jobs[0].Token, JID: "0199aa00bb00cc00dd000001", Kind: "ResizeImage", Queue: "images", Since: time.Now(), Note: "3 of 7"}}
	p.Known = []store.Token{jobs[0].Token}
	beat(t.Context(), t, s, p)
	return s
}

func beat(ctx context.Context, t *testing.T, s store.Keeper, p store.Presence) {
	t.Helper()
	if _, err := s.Beat(ctx, p, time.Minute); err != nil {
		t.Fatal(err)
	}
}

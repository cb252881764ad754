package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// calls say how each command is called where all is well, on a store that is seeded
// and peopled. Names in capitals are files: a settings file with a handler, and one
// that is not there.
var calls = map[string]struct {
	args    []string
	changes bool   // refused where nothing is to be changed
	alone   string // why it needs no store
	exit    int    // where it only looks, and the answer is not 0
}{
	"audit":            {},
	"backup":           {args: []string{"NEW"}},
	"bench":            {args: []string{"--jobs", "10"}, changes: true},
	"books":            {},
	"chaos":            {args: []string{"--dry-run"}, alone: "it makes a store of its own, unless told otherwise"},
	"completion":       {args: []string{"bash"}, alone: "it prints a script"},
	"config":           {alone: "it prints settings"},
	"config keys":      {alone: "it prints what can be set"},
	"demo":             {args: []string{"--help"}, alone: "it makes a store of its own, unless told otherwise, and changes that alone"},
	"drain":            {args: []string{"--pidfile", "NEW"}, alone: "it looks at this machine, and at a store if one is given"},
	"doctor":           {alone: "it reads files that start workers"},
	"enqueue":          {args: []string{"WelcomeJob"}, changes: true},
	"guard":            {alone: "it guards processes of Ruby's on a Redis, and refuses other stores"},
	"help":             {alone: "it explains"},
	"import":           {args: []string{"-c", "5"}, alone: "it makes settings of others"},
	"jobs bury":        {args: []string{"0004", "--yes"}, changes: true},
	"jobs delete":      {args: []string{"0004", "--yes"}, changes: true},
	"jobs export":      {},
	"jobs ls":          {},
	"jobs reschedule":  {args: []string{"0004", "--in", "1h", "--yes"}, changes: true},
	"jobs retry":       {args: []string{"0009", "--yes"}, changes: true},
	"jobs show":        {args: []string{"0009"}},
	"processes dump":   {args: []string{"host-1:7"}, changes: true},
	"processes ls":     {},
	"processes quiet":  {args: []string{"host-1:7"}, changes: true},
	"processes resume": {args: []string{"host-1:7"}, changes: true},
	"processes show":   {args: []string{"host-1:7"}},
	"processes stop":   {args: []string{"host-1:7", "--yes"}, changes: true},
	"queues clear":     {args: []string{"images", "--yes"}, changes: true},
	"queues ls":        {},
	"queues move":      {args: []string{"images", "default", "--yes"}, changes: true},
	"queues pause":     {args: []string{"images"}, changes: true},
	"queues resume":    {args: []string{"images"}, changes: true},
	"queues show":      {args: []string{"images"}},
	"rescue":           {args: []string{"--yes"}, changes: true},
	"restore":          {args: []string{"SETTINGS", "--yes"}, changes: true},
	"rollout status":   {args: []string{"v143", "--timeout", "100ms"}, exit: exitDeadline},
	"schema":           {alone: "it describes answers"},
	"sequence explain": {alone: "it explains a text"},
	"stats":            {},
	"stops ls":         {},
	"stops show":       {args: []string{"host-1"}},
	"top":              {},
	"undo":             {args: []string{"--yes"}, changes: true},
	"version":          {alone: "it prints a version"},
	"vet":              {alone: "it reads Go code"},
	"wait":             {args: []string{"--for", "idle", "--timeout", "300ms"}, exit: exitDeadline},
	"web":              {args: []string{"--help"}, alone: "it serves until it is ended"},
	"work":             {args: []string{"--once", "--config", "SETTINGS"}, changes: true},
}

// callOf is how a command is called, with files of its own.
func callOf(t *testing.T, path string) []string {
	t.Helper()
	dir := t.TempDir()
	settings := filepath.Join(dir, "ebb.yml")
	if err := os.WriteFile(settings, []byte("handlers: {WelcomeJob: {command: [sh, -c, exit 0]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := strings.Fields(path)
	for _, arg := range calls[path].args {
		switch arg {
		case "SETTINGS":
			arg = settings
		case "NEW":
			arg = filepath.Join(dir, "new")
		}
		args = append(args, arg)
	}
	return args
}

// called runs the program inside the test, and returns its exit code and all it said.
func called(t *testing.T, args []string, environ ...string) (exit int, said string) {
	t.Helper()
	var text bytes.Buffer
	exit = run(t.Context(), args, strings.NewReader(""), &text, &text, environ)
	return exit, text.String()
}

// eachCommand is a subtest for each command that does something of its own.
func eachCommand(t *testing.T, test func(t *testing.T, path string)) {
	t.Helper()
	walk(commandTree(), func(c *cobra.Command) {
		_, path, _ := strings.Cut(c.CommandPath(), " ")
		if _, known := calls[path]; !known {
			if !c.HasSubCommands() && path != "init" { // which would take the test for its own
				t.Errorf("%s: say in calls how it is called", path)
			}
			return
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			test(t, path)
		})
	})
}

func TestUnknownFlags(t *testing.T) {
	t.Parallel()
	walk(commandTree(), func(c *cobra.Command) {
		if c.Name() == "init" {
			return // which reads its flags as tini does
		}
		args := append(strings.Fields(c.CommandPath())[1:], "--debgu")
		exit, said := called(t, args, "EBB_STORE=mem:")
		if exit != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, exit, exitUsage)
		}
		if want := "ebb: unknown flag: --debgu\nhint: did you mean --debug?\n"; said != want {
			t.Errorf("%q said %q, want %q", args, said, want)
		}
	})
}

func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	for form, url := range map[string]string{
		"refused":      "redis://ada:s3cret@127.0.0.1:1/0",
		"wrong scheme": "mysql://ada:s3cret@localhost/shop",
		"wrong URL":    "redis://:s3cret@localhost:port",
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			eachCommand(t, func(t *testing.T, path string) {
				if calls[path].alone != "" {
					return
				}
				began := time.Now()
				exit, said := called(t, append(callOf(t, path), "--debug"), "EBB_STORE="+url)
				if took := time.Since(began); exit != exitStore || took > 10*time.Second {
					t.Errorf("exit code %d after %v, want %d soon:\n%s", exit, took, exitStore, said)
				}
				if strings.Contains(said, "s3cret") {
					t.Errorf("the password was told:\n%s", said)
				}
				if !strings.Contains(said, "\nhint: ") {
					t.Errorf("there is no hint:\n%s", said)
				}
			})
		})
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(t *testing.T, path string) {
		call := calls[path]
		if call.alone != "" {
			return
		}
		url := "sqlite:" + filepath.Join(t.TempDir(), "ebb.db")
		if err := seed(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		people(t, url)
		before := heldIn(t, url)
		want := call.exit
		if call.changes {
			want = exitRefused
		}
		exit, said := called(t, callOf(t, path), "EBB_STORE="+url, "EBB_READONLY=1")
		if exit != want {
			t.Errorf("exit code %d, want %d:\n%s", exit, want, said)
		}
		if diff := cmp.Diff(before, heldIn(t, url)); diff != "" {
			t.Errorf("the store has changed (-before +after):\n%s", diff)
		}
	})
}

// heldIn is all that people can change in a store.
func heldIn(t *testing.T, url string) (all []string) {
	t.Helper()
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q, err := query.Parse("", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range q.Find(t.Context(), s, query.Search{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Place.String()+" "+string(e.Payload))
	}
	queues, err := s.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if q.Paused {
			all = append(all, q.Name+" is paused")
		}
	}
	for c, err := range s.Changes(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Verb)
	}
	slices.Sort(all)
	return all
}

// TestFullOutput: an answer that could not be written is no success.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(t *testing.T, path string) {
		url := "sqlite:" + filepath.Join(t.TempDir(), "ebb.db")
		if err := seed(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		people(t, url)
		for _, args := range [][]string{callOf(t, path), append(strings.Fields(path), "--help")} {
			var out full
			exit := run(t.Context(), args, strings.NewReader(""), &out, io.Discard, []string{"EBB_STORE=" + url, "EBB_READONLY=1"})
			if out.asked && exit == exitOK {
				t.Errorf("%q: exit code 0, and the answer was lost", args)
			}
		}
	})
}

// full is a file on a full disk.
type full struct{ asked bool }

func (f *full) Write([]byte) (int, error) {
	f.asked = true
	return 0, syscall.ENOSPC
}

//go:build unix && slow

package mixedtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// handler is one program for all kinds. It holds a lock for as long as a run lasts,
// and tells on itself if another run of its job holds that. Its notes say which
// release ran it.
//
//	Works    takes a moment
//	Fails    its first run does
//	Snoozes  its first run asks for another hour
//	Carries  its first run leaves a checkpoint and never ends by itself
const handler = `#!/bin/sh
exec 9> "$FOLDER/locks/$EBB_JID"
if ! flock -n 9; then
  echo "$EBB_JID" >> "$FOLDER/beside"
  exit 1
fi
note() { echo "$EBB_JID $EBB_RELEASE $EBB_ATTEMPT $EBB_INTERRUPTIONS $2" >> "$FOLDER/$1"; }
first() { ! grep -q "^$EBB_JID" "$FOLDER/begun" 2> /dev/null; }
trap 'exit 143' TERM
case $EBB_KIND in
Fails) if first; then note begun; exit 1; fi ;;
Snoozes) if first; then note begun; exit 75; fi ;;
Carries)
  if [ ! -s "$EBB_CHECKPOINT" ]; then
    echo "$EBB_RELEASE" > "$EBB_CHECKPOINT.new"
    mv "$EBB_CHECKPOINT.new" "$EBB_CHECKPOINT"
    note begun
    sleep 600 &
    wait
  fi ;;
esac
note begun
if [ "$EBB_KIND" = Works ]; then sleep 0.1; fi
note done "$(cat "$EBB_CHECKPOINT" 2> /dev/null)"
`

const settings = `
handlers:
  Works: {command: [./handler.sh]}
  Fails: {command: [./handler.sh]}
  Snoozes: {command: [./handler.sh], snooze: 1h}
  Carries: {command: [./handler.sh]}
queues: [default, paused]
concurrency: 8
log: {level: warn}
`

// patience is for what must happen, on a machine that may be slow.
const patience = time.Minute

// site is a store, a handler and the handler's notes.
type site struct {
	*testing.T
	dir, url string
	made     int // jobs enqueued
}

func newSite(t *testing.T, url string) *site {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Fatalf("the handler takes its lock by flock, of util-linux: %v", err)
	}
	s := &site{T: t, dir: t.TempDir(), url: url}
	s.must(os.WriteFile(filepath.Join(s.dir, "handler.sh"), []byte(handler), 0o700))
	s.must(os.WriteFile(filepath.Join(s.dir, "ebb.yml"), []byte(settings), 0o600))
	s.must(os.Mkdir(filepath.Join(s.dir, "locks"), 0o700))
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) command(r *release, args ...string) *exec.Cmd {
	s.Helper()
	path, err := r.path()
	s.must(err)
	cmd := exec.CommandContext(s.Context(), path, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "EBB_STORE="+s.url, "EBB_RELEASE="+r.name, "EBB_SOCKET=none",
		"EBB_GRACE=10s", "EBB_TIMEOUT=500ms", "EBB_LEASE_TTL=2s", "EBB_LEASE_BEAT=200ms", "FOLDER="+s.dir)
	return cmd
}

// ebb runs a command that must succeed, and returns what it printed.
func (s *site) ebb(r *release, input string, args ...string) string {
	s.Helper()
	cmd := s.command(r, args...)
	cmd.Stdin = strings.NewReader(input)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("ebb %s, %s: %v\n%s%s", strings.Join(args, " "), r.name, err, out, &errors)
	}
	return string(out)
}

// worker is ebb work of a release.
type worker struct {
	*site
	*release
	cmd *exec.Cmd
}

func (s *site) work(r *release) *worker {
	s.Helper()
	cmd := s.command(r, "work")
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	s.must(cmd.Start())
	s.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		if s.Failed() {
			s.Logf("%s worker %d: %v\n%s", r.name, cmd.Process.Pid, cmd.ProcessState, log)
		}
	})
	return &worker{s, r, cmd}
}

func (w *worker) pid() int { return w.cmd.Process.Pid }

// end sends a signal and waits for what it must come to.
func (w *worker) end(sig syscall.Signal) {
	w.Helper()
	w.must(w.cmd.Process.Signal(sig))
	if err := w.cmd.Wait(); err != nil && sig != syscall.SIGKILL {
		w.Errorf("the %s worker that got %v: %v", w.name, sig, err)
	}
}

// enqueue puts n jobs of a kind by the command of a release. More fields of a line
// may be given as JSON members.
func (s *site) enqueue(r *release, n int, kind string, more ...string) (jids []string) {
	s.Helper()
	var lines strings.Builder
	for range n {
		s.made++
		jid := fmt.Sprintf("%024x", s.made)
		fields := append([]string{`"jid":"` + jid + `"`, `"kind":"` + kind + `"`, `"args":[]`}, more...)
		fmt.Fprintln(&lines, "{"+strings.Join(fields, ",")+"}")
		jids = append(jids, jid)
	}
	s.ebb(r, lines.String(), "enqueue", "--from", "-")
	return jids
}

// note is what the handler says of one run.
type note struct {
	jid, release           string
	attempt, interruptions string
	checkpoint             string // done only
}

func (s *site) notes(file string) (notes []note) {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if w := append(strings.Fields(line), "", "", "", ""); strings.HasSuffix(line, "\n") {
			notes = append(notes, note{w[0], w[1], w[2], w[3], w[4]})
		}
	}
	return notes
}

// has reports whether a note of each of these jobs is in a file.
func (s *site) has(file string, jids ...string) bool {
	s.Helper()
	noted := map[string]bool{}
	for _, n := range s.notes(file) {
		noted[n.jid] = true
	}
	return !slices.ContainsFunc(jids, func(jid string) bool { return !noted[jid] })
}

func (s *site) eventually(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("not within %v: %s\njobs: %s", patience, what, s.ebb(newer, "", "jobs", "ls"))
		}
	}
}

// look opens the store for a moment, by this release.
func (s *site) look(see func(store.Store)) {
	s.Helper()
	st, err := storeurl.Open(s.Context(), s.url)
	s.must(err)
	defer st.Close()
	see(st)
}

// in returns the payloads in a place by jid.
func (s *site) in(place store.Place) map[string][]byte { return s.find(store.Query{Place: place}) }

func (s *site) ready(queue string) map[string][]byte {
	return s.find(store.Query{Place: store.Ready, Queue: queue})
}

func (s *site) find(q store.Query) map[string][]byte {
	s.Helper()
	found := map[string][]byte{}
	s.look(func(st store.Store) {
		for e, err := range st.Jobs(s.Context(), q) {
			s.must(err)
			found[id(s, e.Payload)] = e.Payload
		}
	})
	return found
}

// history is what ebb has written into a payload, read without ebb.
func history(t testing.TB, payload []byte) map[string]any {
	t.Helper()
	var job struct {
		Ebb map[string]any `json:"ebb"`
	}
	if err := json.Unmarshal(payload, &job); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return job.Ebb
}

func id(t testing.TB, payload []byte) string {
	t.Helper()
	var job struct {
		JID string `json:"jid"`
	}
	if err := json.Unmarshal(payload, &job); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return job.JID
}

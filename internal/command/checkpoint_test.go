//go:build unix

package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

// TestCheckpointsTravel: what a run leaves is what the next run finds.
func TestCheckpointsTravel(t *testing.T) {
	t.Parallel()
	same := func(text, travels string) [3]string { return [3]string{text, travels, text} }
	// What is left, how it travels, and what is found.
	cases := map[string][3]string{
		"object":           {"{\"row\": 9007199254740993, \"of\": [1e400, null]}\n", `{"row":9007199254740993,"of":[1e400,null]}`, "{\"row\":9007199254740993,\"of\":[1e400,null]}\n"},
		"number":           {"42\n", "42", "42\n"},
		"number, bare":     {"42", "42", "42\n"},
		"null":             {"null", "null", "null\n"},
		"text":             same("step 7\n", `"step 7\n"`),
		"text, bare":       same("step 7", `"step 7"`),
		"several lines":    same("a\n\nb\n", `"a\n\nb\n"`),
		"a string in JSON": same(`"quoted"`, `"\"quoted\""`),
		"broken JSON":      same(`{"row": 4`, `"{\"row\": 4"`),
		"two documents":    same("1\n2\n", `"1\n2\n"`),
		"odd characters":   same("<&\u2028\x00ü\t€\r\n", `"<&\u2028\u0000ü\t€\r\n"`),
		"blank":            same(" \n", `" \n"`),
	}
	s, c := newSite(t), client()
	s.start(c, s.shell(`n=$(sed 's/.*"args":\["\([0-9]*\)"\].*/\1/')
		if [ -e "$EBB_CHECKPOINT" ]; then cp "$EBB_CHECKPOINT" "found$n"; echo > "done$n"; else cp "left$n" "$EBB_CHECKPOINT"; exit 1; fi`), s.options())
	number := map[string]string{}
	for name, texts := range cases {
		n := fmt.Sprint(len(number))
		number[name] = n
		if err := os.WriteFile(s.path("left"+n), []byte(texts[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		s.push(c, n)
	}
	for name, texts := range cases {
		s.await("done" + number[name])
		if diff := cmp.Diff(texts[2], s.read("found"+number[name])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(texts[1], travel(t, texts[0])); diff != "" {
			t.Errorf("%s travels (-want +got):\n%s", name, diff)
		}
	}
}

// travel is what a checkpoint is in a payload.
func travel(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(toJSON([]byte(text))); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestCheckpointIsTakenMeanwhile: what a program has saved outlives its worker.
func TestCheckpointIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), client()
	s.start(c, s.shell(`echo 5 > "$EBB_CHECKPOINT"; while [ ! -e enough ]; do sleep 0.05; done`), s.options())
	s.push(c)
	eventually(t, "the store has the checkpoint", func() bool {
		held := s.jobs(c, store.Keeping)
		return len(held) == 1 && string(held[0].History.Checkpoint) == "5"
	})
	if err := os.WriteFile(s.path("enough"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// saved is a checkpoint file, with what was saved of it.
type saved struct {
	*checkpoint
	t    *testing.T
	got  []string
	log  bytes.Buffer
	fail error
}

func newSaved(t *testing.T) *saved {
	s := &saved{t: t}
	s.checkpoint = &checkpoint{
		path: filepath.Join(t.TempDir(), "checkpoint"), log: slog.New(slog.NewTextHandler(&s.log, nil)),
		save: func(value any) error {
			raw, err := json.Marshal(value)
			s.got = append(s.got, string(raw))
			return errors.Join(err, s.fail)
		},
	}
	return s
}

func (s *saved) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.path+".new", s.path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *saved) expect(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.got); diff != "" {
		s.t.Errorf("saved (-want +got):\n%s", diff)
	}
	s.got = nil
}

func TestCheckpointLooks(t *testing.T) {
	t.Parallel()
	s := newSaved(t)
	if err := s.restore(json.RawMessage(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	s.look(false)
	s.look(true)
	s.expect() // it is what it was
	s.write("2")
	s.look(false)
	s.look(false)
	s.look(true)
	s.expect("2") // once
	s.write("2")
	s.look(false)
	s.expect() // replaced by the same
	s.write("")
	s.look(true)
	s.expect() // emptied
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	s.look(true)
	s.expect() // removed
	s.write("three")
	s.look(true)
	s.expect(`"three"`)
	if s.log.Len() > 0 {
		t.Errorf("logged:\n%s", &s.log)
	}
}

func TestCheckpointsThatAreKeptOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make func(s *saved)
		want string
	}{
		"too large":          {func(s *saved) { s.write(strings.Repeat("x", maxCheckpoint+1)) }, "more than 256 KiB"},
		"much too large":     {func(s *saved) { s.write(""); _ = os.Truncate(s.path, 1<<40) }, "more than 256 KiB"},
		"not UTF-8":          {func(s *saved) { s.write("a\xff") }, "neither JSON nor text"},
		"a folder":           {func(s *saved) { _ = os.Mkdir(s.path, 0o700) }, "is not a file"},
		"a pipe":             {func(s *saved) { _ = syscall.Mkfifo(s.path, 0o600) }, "is not a file"},
		"refused by the job": {func(s *saved) { s.fail = errors.New("too large with its quotes"); s.write("x") }, "with its quotes"},
		"a link to a device": {func(s *saved) { _ = os.Symlink("/dev/zero", s.path) }, "is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSaved(t)
			tt.make(s)
			for range 3 {
				s.look(false)
			}
			s.look(true)
			if strings.Count(s.log.String(), "\n") != 1 || !strings.Contains(s.log.String(), tt.want) {
				t.Errorf("logged:\n%s", &s.log)
			}
			_ = os.RemoveAll(s.path)
			s.got, s.fail = nil, nil
			s.write("1")
			s.look(false)
			s.expect("1") // the next one counts again
		})
	}
}

// TestCheckpointIsWhole: however often a program replaces the file, no half of it is
// ever saved.
func TestCheckpointIsWhole(t *testing.T) {
	t.Parallel()
	s := newSaved(t)
	program := exec.CommandContext(t.Context(), "sh", "-c", `
		a=$(head -c 60000 /dev/zero | tr '\0' a); b=$(head -c 90000 /dev/zero | tr '\0' b)
		for i in $(seq 300); do
			echo "[\"$a\"]" > "$1.new"; mv "$1.new" "$1"
			echo "[\"$b\"]" > "$1.new"; mv "$1.new" "$1"
		done`, "sh", s.path)
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- program.Wait() }()
	a, b := `["`+strings.Repeat("a", 60000)+`"]`, `["`+strings.Repeat("b", 90000)+`"]`
	for looks, ended := 0, false; !ended; looks++ {
		select {
		case err := <-over:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		s.look(ended)
		for _, got := range s.got {
			if got != a && got != b {
				t.Fatalf("saved %d bytes: %.20s…", len(got), got)
			}
		}
		if ended && looks < 10 {
			t.Errorf("looked only %d times", looks)
		}
		s.got = nil
	}
	if string(s.text) != b+"\n" {
		t.Errorf("at last there are %d bytes", len(s.text))
	}
}

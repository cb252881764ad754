package command

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/wire"
)

// scratch is the path of the private folder of one run. It goes with the run; if the
// worker is killed, its guard removes it.
type scratch string

// newScratch names a folder as no other is named, and does not make it.
func newScratch() scratch {
	var random [4]byte
	rand.Read(random[:])
	name := "ebb-job-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + hex.EncodeToString(random[:])
	dir := filepath.Join(os.TempDir(), name)
	if abs, err := filepath.Abs(dir); err == nil { // the program need not run where we do
		dir = abs
	}
	return scratch(dir)
}

// Ready says what keeps any program from being run here: each run has a folder, for
// its checkpoint. It makes one and takes it away.
func Ready() error {
	s := newScratch()
	if err := s.make(); err != nil {
		return fmt.Errorf("command: %w", err)
	}
	return s.remove()
}

func (s scratch) make() error {
	if err := os.Mkdir(string(s), 0o700); err != nil {
		return fmt.Errorf("make a folder for a job: %w", err)
	}
	return nil
}

func (s scratch) checkpoint() string { return filepath.Join(string(s), "checkpoint") }

func (s scratch) remove() error { return os.RemoveAll(string(s)) }

// stdin is a payload as standard input. A file, unlike a pipe, may be left unread
// or read twice, and nobody has to feed it. It has no name, and it cannot be
// written to.
func (s scratch) stdin(payload []byte) (*os.File, error) {
	name := filepath.Join(string(s), "payload")
	if err := os.WriteFile(name, payload, 0o600); err != nil {
		return nil, fmt.Errorf("write the job for the program: %w", err)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("write the job for the program: %w", err)
	}
	if err := os.Remove(name); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// maxValue keeps a variable far from the size at which the system refuses to start
// a program. Whoever needs all of a monstrous jid finds it in the payload.
const maxValue = 4 << 10

// environment is what the program gets: base, what the spec adds, and what there is
// to know of the job.
func environment(base, extra []string, job *wire.Job, info ebb.JobInfo, deadline time.Time, checkpoint string) []string {
	const deadlineIs = "EBB_DEADLINE="
	about := []string{
		"EBB_JID=" + value(job.JID), "EBB_KIND=" + value(job.Kind), "EBB_QUEUE=" + value(info.Queue),
		"EBB_ATTEMPT=" + strconv.Itoa(info.Attempt), "EBB_INTERRUPTIONS=" + strconv.Itoa(info.Interruptions),
		"EBB_CHECKPOINT=" + checkpoint,
	}
	if deadline.IsZero() { // nor does that of a worker that is itself a job count
		base = slices.DeleteFunc(slices.Clone(base), func(v string) bool { return strings.HasPrefix(v, deadlineIs) })
	} else {
		about = append(about, deadlineIs+strconv.FormatInt(deadline.Unix(), 10))
	}
	// Of two of one name only the last is passed on: programs do not agree on which
	// one counts.
	var env []string
	known := map[string]bool{}
	for _, v := range slices.Backward(slices.Concat(base, extra, about)) {
		if name, _, ok := strings.Cut(v, "="); ok && !known[name] {
			known[name] = true
			env = append(env, v)
		}
	}
	slices.Reverse(env)
	return env
}

// value makes s fit for a variable. A NUL would keep the program from being started.
func value(s string) string {
	return strings.ReplaceAll(s[:min(len(s), maxValue)], "\x00", "\uFFFD")
}

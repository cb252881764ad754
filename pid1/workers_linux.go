package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// workers are the child and what descends from it, asked whether jobs run there:
// ebb's own over their control socket, Sidekiq by the title it gives its process.
// It is for the goroutine of the stop sequence.
type workers struct {
	proc      *proc
	self, pid int      // of us, and of the child
	dirs      []string // where sockets are
	sockets   map[int][]string
	seen      bool // there was one that could tell
	rested    map[incarnation]time.Time
}

// socketDirs are the folders in which package control makes its sockets.
func socketDirs(environ []string) []string {
	dirs := []string{"/run/ebb"}
	for _, name := range []string{"XDG_RUNTIME_DIR", "TMPDIR"} {
		if d := lookup(environ, name); filepath.IsAbs(d) {
			dirs = append(dirs, d)
		}
	}
	return append(dirs, os.TempDir())
}

// all are the processes to ask: the child's or, when it has ended, those it left us.
func (w *workers) all() []process {
	children := w.proc.children()
	roots := children[w.self]
	for n, p := range roots {
		if p.pid == w.pid && !p.ended {
			roots = roots[n : n+1]
			break
		}
	}
	return below(roots, children)
}

// look finds out what sockets there are, by the process they are named after. An
// abstract one needs no looking for.
func (w *workers) look() {
	w.sockets = map[int][]string{}
	for _, dir := range w.dirs {
		entries, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, _ := entries.Readdirnames(-1)
		entries.Close()
		for _, name := range names {
			rest, ours := strings.CutPrefix(name, "ebb-")
			number, _, named := strings.Cut(rest, "-")
			if pid, err := strconv.Atoi(number); ours && named && err == nil && strings.HasSuffix(name, ".sock") {
				w.sockets[pid] = append(w.sockets[pid], filepath.Join(dir, name))
			}
		}
	}
}

// ask sends a process one line and returns the beginning of its answer. Empty: it is no
// worker of ebb's, or does not answer.
func (w *workers) ask(pid int, line string) string {
	for _, path := range append(w.sockets[pid], "@ebb-"+strconv.Itoa(pid)) {
		if answer, err := exchange(pid, path, line); err == nil && strings.HasPrefix(answer, `{"status":`) {
			return answer
		}
	}
	return ""
}

// answerWithin is the patience with an answer. A stop waits for nobody.
const answerWithin = time.Second

// exchange speaks with the process that listens at path, if it is pid: anyone may put a
// socket into /tmp. Packages net and encoding/json would double the size of this
// program in memory.
func exchange(pid int, path, line string) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(int64(answerWithin))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return "", err
	}
	if who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil || int(who.Pid) != pid {
		return "", errors.New("somebody else listens there")
	}
	if _, err := unix.SendmsgN(fd, []byte(line+"\n"), nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return "", err
	}
	// What is looked for stands in front of the list of jobs, which may be long.
	answer := make([]byte, 0, 8<<10)
	for len(answer) < cap(answer) && !bytes.Contains(answer, []byte("\n")) {
		n, err := unix.Read(fd, answer[len(answer):cap(answer)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return "", errors.Join(err, io.ErrUnexpectedEOF)
		}
		answer = answer[:len(answer)+n]
	}
	return string(answer), nil
}

// idleAnswer reports whether package control's answer says that nothing runs and
// nothing more is begun. Within a text the quotes would be escaped, so that these are
// the fields themselves.
func idleAnswer(answer string) bool {
	return !strings.Contains(answer, `"state":"running"`) &&
		(strings.Contains(answer, `"busy":[]`) || strings.Contains(answer, `"busy":null`))
}

// announce tells ebb's workers, before the first signal of a stop, how long it is
// until they are killed. Who does not hear of it goes by its own grace.
func (w *workers) announce(first syscall.Signal, kill time.Duration) {
	do := map[syscall.Signal]string{syscall.SIGTSTP: "quiet", syscall.SIGTERM: "stop", syscall.SIGINT: "stop"}[first]
	if do == "" || kill == 0 {
		return
	}
	began := time.Now()
	w.look()
	for _, p := range w.all() {
		left := kill - time.Since(began)
		w.ask(p.pid, fmt.Sprintf(`{"do":%q,"kill_in":%.3f,"why":"stop sequence"}`, do, left.Seconds()))
		if time.Since(began) > answerWithin {
			return
		}
	}
}

// glance is how often idleness is looked for.
const glance = 500 * time.Millisecond

// idle returns when no job runs any more in any worker that can tell. Where there is
// none, that is not known, and it waits until ctx ends.
func (w *workers) idle(ctx context.Context) error {
	// For up to hours it looks and throws away what it saw. Left to itself, the heap
	// would grow to as much again as all of this program before it is looked at.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 << 20))
	w.rested = map[incarnation]time.Time{}
	again := time.NewTicker(glance)
	defer again.Stop()
	for !w.rest() {
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// rest reports whether all workers are idle now. One that could tell and has ended has
// no job.
func (w *workers) rest() bool {
	busy := false
	w.look()
	for _, p := range w.all() {
		if answer := w.ask(p.pid, `{"do":"status"}`); answer != "" {
			w.seen = true
			busy = busy || !idleAnswer(answer)
		} else if t, ok := parseTitle(w.proc.title(p.pid)); ok {
			w.seen = true
			busy = busy || !w.restful(p.incarnation, t, time.Now())
		}
	}
	return w.seen && !busy
}

// restful reports whether Sidekiq was idle in two readings, a heartbeat apart, after
// it was quiet: between a fetch and the next heartbeat its title shows no job.
func (w *workers) restful(p incarnation, t title, now time.Time) bool {
	if !t.stopping || t.busy > 0 {
		delete(w.rested, p)
		return false
	}
	since, ok := w.rested[p]
	if !ok {
		since = now
		w.rested[p] = now
	}
	return now.Sub(since) >= t.beat
}

// title is what Sidekiq says of itself on its command line.
type title struct {
	busy     int
	stopping bool
	beat     time.Duration // at which it is refreshed: 5 s up to Sidekiq 6, 10 s since (launcher.rb, BEAT_PAUSE)
}

// parseTitle reads "sidekiq 6.4.1 shop [1 of 5 busy] stopping".
func parseTitle(text string) (t title, ok bool) {
	rest, ok := strings.CutPrefix(text, "sidekiq ")
	if !ok {
		return t, false
	}
	version, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(version)
	if err != nil {
		return t, false
	}
	t.beat = 5 * time.Second
	if major > 6 {
		t.beat = 10 * time.Second
	}
	rest, t.stopping = strings.CutSuffix(rest, " stopping")
	rest, ok = strings.CutSuffix(rest, " busy]")
	if !ok {
		return t, false
	}
	counts := strings.Fields(rest[strings.LastIndexByte(rest, '[')+1:])
	if len(counts) != 3 || counts[1] != "of" {
		return t, false
	}
	t.busy, err = strconv.Atoi(counts[0])
	return t, err == nil
}

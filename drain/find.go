package drain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What Find may end with.
var (
	// ErrNothing: there is nobody to drain.
	ErrNothing = errors.New("drain: no worker found")
	// ErrSeveral: the workers found belong to more than one application.
	ErrSeveral = errors.New("drain: workers of more than one application")
)

// Search says where to look for workers. Those that are named come alone; without any,
// the control sockets of ebb's workers and the processes of this system are looked
// through, and if nobody is there, what the store has of this host.
type Search struct {
	// PIDs and Sockets name workers. A number may also be that of an init, a shell or a
	// wrapper: those below it are meant then.
	PIDs    []int
	Sockets []string
	// All lets Find return workers of several applications.
	All bool

	// Root is the root of the file system, of which proc is read.
	Root fs.FS
	// Dirs are the folders in which control sockets are.
	Dirs []string
	// Store is asked for what /proc does not tell. Nil: there is none.
	Store Inspector
	// Host is this host as processes call it in the store.
	Host string
	// Timeout is how long Ruby's workers wait for their jobs after TERM. Zero: 25 s,
	// which is Sidekiq's default.
	Timeout time.Duration
}

// afterTimeout is what Sidekiq has to give jobs back once its timeout is over.
const afterTimeout = 5 * time.Second

const sidekiqTimeout = 25 * time.Second

// Find finds workers. It changes nothing.
func (s Search) Find(ctx context.Context) ([]Worker, error) {
	var f *fleet
	if s.Store != nil {
		f = &fleet{inspector: s.Store, host: s.Host}
	}
	if len(s.PIDs)+len(s.Sockets) > 0 {
		return s.named(ctx, f)
	}
	found := s.listeningAll(ctx)
	taken := map[int]bool{}
	for _, w := range found {
		taken[w.PID] = true
	}
	for _, p := range s.running() {
		if !taken[p.pid] {
			found = append(found, s.worker(p, f))
		}
	}
	if len(found) == 0 {
		var err error
		if found, err = s.known(ctx, f); err != nil {
			return nil, err
		}
	}
	apps, names := map[string]bool{}, []string{}
	for _, w := range found {
		apps[w.App] = true
		names = append(names, w.Name())
	}
	switch {
	case len(found) == 0:
		return nil, ErrNothing
	case len(apps) > 1 && !s.All:
		return nil, fmt.Errorf("%w: %s", ErrSeveral, plain(strings.Join(names, ", ")))
	}
	return found, nil
}

// named are the workers that were asked for. One that has ended is not missed.
func (s Search) named(ctx context.Context, f *fleet) (found []Worker, err error) {
	taken := map[string]bool{}
	add := func(w Worker) {
		if !taken[w.Key] {
			taken[w.Key] = true
			found = append(found, w)
		}
	}
	sockets := map[int]Worker{}
	if len(s.PIDs) > 0 {
		for _, w := range s.listeningAll(ctx) {
			sockets[w.PID] = w
		}
	}
	for _, path := range s.Sockets {
		w, err := s.listening(ctx, path)
		switch {
		case err == nil:
			add(w)
		case !nobodyListens(err):
			return nil, fmt.Errorf("%w: %w", ErrPermission, err)
		}
	}
	for _, pid := range s.PIDs {
		p, err := readProcess(s.Root, pid)
		if err != nil || p.ended() {
			continue
		}
		for _, p := range s.meant(p, sockets) {
			if w, listens := sockets[p.pid]; listens {
				add(w)
			} else {
				add(s.worker(p, f))
			}
		}
	}
	if len(found) == 0 {
		return nil, ErrNothing
	}
	return found, nil
}

// meant is p itself, or the workers below it where it is none.
func (s Search) meant(p process, sockets map[int]Worker) (found []process) {
	is := func(p process) bool { return sockets[p.pid].Target != nil || isWorker(p) }
	if is(p) {
		return []process{p}
	}
	for _, child := range below(s.Root, p.pid) {
		if is(child) {
			found = append(found, child)
		}
	}
	// Whatever it is, it was asked for: but not a wrapper, which would die without a word.
	if len(found) == 0 && !p.wraps() {
		return []process{p}
	}
	return found
}

// wraps reports whether p only starts others. A script that handles TERM is a worker
// as good as any.
func (p process) wraps() bool {
	return p.isInit() || slices.Contains(wrappers, p.name) && !p.handles(sigTerm)
}

var wrappers = []string{"tini", "docker-init", "dumb-init", "catatonit", "sh", "dash", "bash", "ash", "busybox"}

func isWorker(p process) bool {
	_, titled := parseTitle(p.title())
	return !p.ended() && (titled || isSidekiq(p.argv))
}

// running are the workers among the processes of this system. What runs below ebb init
// is one if it handles the signal to go quiet, whatever it is.
func (s Search) running() (found []process) {
	first, err := readProcess(s.Root, 1)
	underInit := err == nil && first.isInit()
	for _, pid := range pids(s.Root) {
		p, err := readProcess(s.Root, pid)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if isWorker(p) || underInit && p.parent == 1 && !p.ended() && p.handles(sigQuiet) && !p.wraps() {
			found = append(found, p)
		}
	}
	return found
}

func (s Search) worker(p process, f *fleet) Worker {
	t, _ := parseTitle(p.title())
	return Worker{Target: newSignalled(s.Root, p, f), PID: p.pid, Key: p.key(), App: p.app(t.tag), Needs: s.needs()}
}

func (s Search) needs() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout + afterTimeout
	}
	return sidekiqTimeout + afterTimeout
}

// known are those that the store has of this host.
func (s Search) known(ctx context.Context, f *fleet) (found []Worker, err error) {
	all, err := f.list(ctx)
	for _, p := range all {
		w := Worker{Target: &recorded{p.ID, p.Tag, p.Lang, f}, Key: string(p.ID), App: p.Tag}
		if p.Lang == "ruby" {
			w.Needs = s.needs()
		}
		found = append(found, w)
	}
	return found, err
}

// listeningAll are the workers behind all control sockets that can be asked. A name
// without a file reaches as far as the network does, which the containers of a pod
// share: whoever listens there and is not seen in /proc is of another container.
func (s Search) listeningAll(ctx context.Context) (found []Worker) {
	taken := map[string]bool{}
	for _, path := range s.sockets() {
		w, err := s.listening(ctx, path)
		if err != nil || taken[w.Key] || w.PID == 0 && strings.HasPrefix(path, "@") {
			continue
		}
		taken[w.Key] = true
		found = append(found, w)
	}
	return found
}

// sockets are the paths at which ebb's workers listen, and the names without a file.
func (s Search) sockets() (paths []string) {
	for _, dir := range s.Dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if ok, _ := filepath.Match("ebb-*.sock", e.Name()); ok {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	table, _ := fs.ReadFile(s.Root, "proc/net/unix")
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) == 8 && strings.HasPrefix(fields[7], "@ebb-") && !slices.Contains(paths, fields[7]) {
			paths = append(paths, fields[7])
		}
	}
	return paths
}

// ReadPIDFile returns the number in a file, 0 if there is no such file: whoever made
// it has ended.
func ReadPIDFile(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("drain: read pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("drain: read pid file %s: %.20q is no process number", path, text)
	}
	return pid, nil
}

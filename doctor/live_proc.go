package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb/internal/platform"
)

// runtimes run workers under their own name.
var runtimes = []string{"ruby", "bundle", "bundler", "rake", "rails", "python", "node", "ebb", "celery", "rq", "resque"}

// running finds the workers among all processes. Of a worker and what it runs below,
// such as bundle exec that did not step aside, the lowest is meant.
func running(here Here) (list []Running) {
	entries, err := fs.ReadDir(here.Root, "proc")
	if err != nil {
		return nil
	}
	parents := map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, err := platform.ReadProcess(here.Root, pid)
		if kind := kindOfProcess(p); err == nil && p.State != "Z" && kind != unknownWorker {
			list = append(list, look(here, p, kind))
			for _, a := range platform.Ancestors(here.Root, p.Parent) {
				parents[a.PID] = true
			}
		}
	}
	list = slices.DeleteFunc(list, func(w Running) bool { return parents[w.PID] })
	slices.SortFunc(list, func(a, b Running) int { return a.PID - b.PID })
	if len(list) == 0 {
		if p, err := platform.ReadProcess(here.Root, here.PID); err == nil {
			list = []Running{look(here, p, unknownWorker)}
		}
	}
	return list
}

// kindOfProcess recognises a worker by its command line, or by the title that it shows
// there instead. A search for workers is none.
func kindOfProcess(p platform.Process) workerKind {
	words := strings.Fields(strings.Join(p.Argv, " "))
	if len(words) == 0 {
		return unknownWorker
	}
	// A worker of ebb's has its name where Sidekiq has the application's.
	if len(words) > 3 && words[0] == "sidekiq" && words[2] == "ebb" && slices.Contains(words, "busy]") {
		return ebbWorker
	}
	kind := kindOf(words)
	program := strings.TrimRight(baseName(words[0]), "0123456789.")
	if kind == noWorker || !slices.Contains(runtimes, program) && kindOf(words[:1]) == unknownWorker {
		return unknownWorker
	}
	return kind
}

func look(here Here, p platform.Process, kind workerKind) Running {
	w := Running{PID: p.PID, Command: commandLine(p), kind: kind, process: p}
	in := here.Input
	in.PID = p.PID
	w.Problem = platform.Delivery(in)
	for _, a := range platform.Ancestors(here.Root, p.Parent) {
		w.Above = append(w.Above, fmt.Sprintf("%s (%d)", a.Name, a.PID))
	}
	slices.Reverse(w.Above)
	return w
}

// commandLine is a process in words that fit into a line.
func commandLine(p platform.Process) string {
	line := strings.TrimSpace(strings.Join(p.Argv, " "))
	if line == "" {
		return p.Name
	}
	if runes := []rune(line); len(runes) > 60 {
		return string(runes[:59]) + "…"
	}
	return line
}

// Limits are what the cgroup allows.
type Limits struct {
	Memory, PIDs Limit
}

// Limit is a cgroup's. Most is 0 if there is none.
type Limit struct {
	File       string // where it is said
	Most, Used int64
	Refused    int64 // how often something was killed, or not started, because of it
}

// readLimits finds the limits of a process's cgroup, in either version of cgroups: the
// lowest of its own and those above. Inside of a container the path may be one of the
// host, and the root of the tree is the container's own.
func readLimits(root fs.FS, pid int) Limits {
	paths := cgroups(root, pid)
	return Limits{
		Memory: lowest(root, paths, "memory",
			[3]string{"memory.max", "memory.current", "memory.events"}, [3]string{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"}, "oom_kill"),
		PIDs: lowest(root, paths, "pids",
			[3]string{"pids.max", "pids.current", "pids.events"}, [3]string{"pids.max", "pids.current", "pids.events"}, "max"),
	}
}

// cgroups are the paths of a process's cgroups by controller; that of version 2 has no
// name.
func cgroups(root fs.FS, pid int) map[string]string {
	paths := map[string]string{}
	text, err := fs.ReadFile(root, fmt.Sprintf("proc/%d/cgroup", pid))
	if err != nil {
		return paths
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			paths[controller] = strings.Trim(path.Clean("/"+fields[2]), "/") // a path of another namespace leads above the root
		}
	}
	return paths
}

// lowest looks in the cgroup and all above it. The names are those of the limit, of
// what is used, and of the events.
func lowest(root fs.FS, paths map[string]string, controller string, second, first [3]string, event string) (found Limit) {
	for _, tree := range []struct {
		mount, dir string
		names      [3]string
	}{{"sys/fs/cgroup", paths[""], second}, {path.Join("sys/fs/cgroup", controller), paths[controller], first}} {
		for dir := tree.dir; ; dir = path.Dir(dir) {
			at := path.Join(tree.mount, dir)
			most, ok := number(root, path.Join(at, tree.names[0]))
			if ok && most < 1<<60 && (found.Most == 0 || most < found.Most) {
				used, _ := number(root, path.Join(at, tree.names[1]))
				found = Limit{File: "/" + path.Join(at, tree.names[0]), Most: most, Used: used, Refused: counted(root, path.Join(at, tree.names[2]), event)}
			}
			if dir == "." || dir == "" || dir == ".." {
				break
			}
		}
	}
	return found
}

// number reads a file of one number; max is none.
func number(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n >= 0
}

// counted reads one line of a file of names and numbers.
func counted(root fs.FS, name, key string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == key {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n
		}
	}
	return 0
}

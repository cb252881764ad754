// Package platform tells what a process can know, at its start, of how it will be
// stopped: by whom, after how long, and whether the notice will arrive at all.
package platform

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
)

// Input is what Look looks at.
type Input struct {
	Flag   time.Duration // grace as the caller was told; zero: not told
	Getenv func(string) string
	Root   fs.FS // the root of the file system, with proc where there is one
	PID    int
}

// Here is the input of this process.
func Here(flag time.Duration) Input {
	return Input{Flag: flag, Getenv: os.Getenv, Root: os.DirFS("/"), PID: os.Getpid()}
}

// Findings are what Look found.
type Findings struct {
	Platform string        // "Kubernetes", "ECS", …; "" if none is recognised
	Grace    time.Duration // between the platform's notice and KILL
	Source   string        // where Grace comes from, in words
	Assumed  bool          // Grace is a default that nobody confirmed
	Limit    time.Duration // the most that the platform grants; zero: it has no limit of its own
	Warnings []string      // one line each
}

// kind is a platform and what it grants.
type kind struct {
	name  string
	marks []string      // variables of which it sets one
	grace time.Duration // default
	limit time.Duration // the most there is; zero: no limit of its own
	why   string        // about the limit
}

// kinds are tried in order: those that run on top of another come first.
var kinds = []kind{
	{"Azure Container Apps", []string{"CONTAINER_APP_REVISION"}, 30 * time.Second, 0, ""},
	{"Kubernetes", []string{"KUBERNETES_SERVICE_HOST"}, 30 * time.Second, 10 * time.Minute,
		"the cluster autoscaler cuts at --max-graceful-termination-sec, 600 s unless raised"},
	{"ECS", []string{"ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"}, 30 * time.Second, 0, ""},
	{"Heroku", []string{"DYNO"}, 30 * time.Second, 30 * time.Second, "Heroku's 30 s are fixed"},
	{"Cloud Run", []string{"K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL"}, 10 * time.Second, 10 * time.Second,
		"Cloud Run's 10 s are fixed"},
	{"Nomad", []string{"NOMAD_ALLOC_ID"}, 5 * time.Second, 30 * time.Second,
		"the client's max_kill_timeout is 30 s unless raised"},
	{"Fly", []string{"FLY_APP_NAME"}, 5 * time.Second, 24 * time.Hour, "kill_timeout is at most 300 s on shared CPUs, 24 h on dedicated ones"},
	{"Render", []string{"RENDER"}, 30 * time.Second, 300 * time.Second, "maxShutdownDelaySeconds is at most 300"},
}

// fargateLimit is the most that ECS grants where AWS owns the machine.
const fargateLimit = 120 * time.Second

// systemdDefault is DefaultTimeoutStopSec as systemd ships it.
const systemdDefault = 90 * time.Second

// Look finds what it can. It reads and changes nothing else, so the same input
// gives the same findings. What cannot be read is not found, and not an error; an
// EBB_GRACE that is no time is one.
func Look(in Input) (Findings, error) {
	k := recognise(in)
	f := Findings{Platform: k.name, Limit: k.limit}
	told, err := ParseGrace(in.Getenv("EBB_GRACE"))
	if err != nil {
		return f, fmt.Errorf("platform: read EBB_GRACE: %w", err)
	}
	switch {
	case in.Flag > 0:
		f.Grace, f.Source = in.Flag, "as configured"
	case told > 0:
		f.Grace, f.Source = told, "EBB_GRACE"
	case k.grace > 0:
		f.Grace, f.Source, f.Assumed = k.grace, "assumed: the default on "+k.name, true
	default:
		f.Grace, f.Source, f.Assumed = lifecycle.DefaultGrace, "assumed: Docker's default; set EBB_GRACE", true
	}
	if k.limit > 0 && f.Grace > k.limit {
		f.Warnings = append(f.Warnings, fmt.Sprintf("grace is %v, but KILL may come after %v: %s", f.Grace, k.limit, k.why))
	}
	if w := delivery(in, k); w != "" {
		f.Warnings = append(f.Warnings, w)
	}
	return f, nil
}

func recognise(in Input) kind {
	for _, k := range kinds {
		for _, mark := range k.marks {
			if in.Getenv(mark) == "" {
				continue
			}
			if k.name == "ECS" && strings.Contains(in.Getenv("AWS_EXECUTION_ENV"), "FARGATE") {
				k.limit, k.why = fargateLimit, "stopTimeout is at most 120 s on Fargate"
			}
			return k
		}
	}
	// Children inherit the variable, so it counts only for the process it names.
	if in.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(in.PID) {
		return kind{name: "systemd", grace: systemdDefault}
	}
	return kind{}
}

// ParseGrace reads a grace as people write it: a Go duration, or a bare number of
// seconds. The empty string is zero; a time that is not positive is an error.
func ParseGrace(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if seconds, notNumber := strconv.ParseUint(s, 10, 32); notNumber == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a time: write it as 30s, 2m or a number of seconds", s)
	}
	if d <= 0 {
		return 0, fmt.Errorf("%q is not a time above zero", s)
	}
	return d, nil
}

// RSS is the memory of process pid that is resident, in bytes, or 0 where the
// system does not tell.
func RSS(root fs.FS, pid int) int64 {
	statm, err := fs.ReadFile(root, fmt.Sprintf("proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

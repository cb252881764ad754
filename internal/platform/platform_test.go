package platform

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestGrace(t *testing.T) {
	t.Parallel()
	const fixed = "fixed"
	cases := []struct {
		name     string
		flag     time.Duration
		env      []string
		platform string
		grace    time.Duration
		source   string // in Source
		assumed  bool
		warning  string // in the only warning; "" for none
	}{
		{"nothing known", 0, nil, "", 10 * time.Second, "Docker's default", true, ""},
		{"configured", time.Minute, nil, "", time.Minute, "as configured", false, ""},
		{"the variable", 0, []string{"EBB_GRACE", "45s"}, "", 45 * time.Second, "EBB_GRACE", false, ""},
		{"both", time.Minute, []string{"EBB_GRACE", "45s"}, "", time.Minute, "as configured", false, ""},
		{"Kubernetes", 0, []string{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}, "Kubernetes", 30 * time.Second, "Kubernetes", true, ""},
		{"Kubernetes, told", 0, []string{"KUBERNETES_SERVICE_HOST", "10.0.0.1", "EBB_GRACE", "120"}, "Kubernetes", 2 * time.Minute, "EBB_GRACE", false, ""},
		{"Kubernetes, an hour", 0, []string{"KUBERNETES_SERVICE_HOST", "10.0.0.1", "EBB_GRACE", "1h"}, "Kubernetes", time.Hour, "EBB_GRACE", false, "600 s unless raised"},
		{"Knative on Kubernetes", 0, []string{"KUBERNETES_SERVICE_HOST", "10.0.0.1", "K_SERVICE", "x"}, "Kubernetes", 30 * time.Second, "Kubernetes", true, ""},
		{"ECS", 0, []string{"ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4"}, "ECS", 30 * time.Second, "ECS", true, ""},
		{"ECS on EC2 has no limit", 5 * time.Minute, []string{"ECS_CONTAINER_METADATA_URI", "x", "AWS_EXECUTION_ENV", "AWS_ECS_EC2"}, "ECS", 5 * time.Minute, "as configured", false, ""},
		{"Fargate has", 5 * time.Minute, []string{"ECS_CONTAINER_METADATA_URI", "x", "AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"}, "ECS", 5 * time.Minute, "as configured", false, "at most 120 s on Fargate"},
		{"Fargate at its limit", 2 * time.Minute, []string{"ECS_CONTAINER_METADATA_URI", "x", "AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"}, "ECS", 2 * time.Minute, "as configured", false, ""},
		{"Heroku", 0, []string{"DYNO", "worker.1"}, "Heroku", 30 * time.Second, "Heroku", true, ""},
		{"Heroku, more", 0, []string{"DYNO", "worker.1", "EBB_GRACE", "31s"}, "Heroku", 31 * time.Second, "EBB_GRACE", false, fixed},
		{"Cloud Run service", 0, []string{"K_SERVICE", "x"}, "Cloud Run", 10 * time.Second, "Cloud Run", true, ""},
		{"Cloud Run job", 30 * time.Second, []string{"CLOUD_RUN_JOB", "x"}, "Cloud Run", 30 * time.Second, "as configured", false, fixed},
		{"Nomad", 0, []string{"NOMAD_ALLOC_ID", "x"}, "Nomad", 5 * time.Second, "Nomad", true, ""},
		{"Nomad, a minute", time.Minute, []string{"NOMAD_ALLOC_ID", "x"}, "Nomad", time.Minute, "as configured", false, "max_kill_timeout"},
		{"Fly", 0, []string{"FLY_APP_NAME", "x"}, "Fly", 5 * time.Second, "Fly", true, ""},
		{"Render", 0, []string{"RENDER", "true"}, "Render", 30 * time.Second, "Render", true, ""},
		{"Azure", 0, []string{"CONTAINER_APP_REVISION", "x", "KUBERNETES_SERVICE_HOST", "10.0.0.1"}, "Azure Container Apps", 30 * time.Second, "Azure", true, ""},
		{"systemd", 0, []string{"SYSTEMD_EXEC_PID", "7"}, "systemd", 90 * time.Second, "systemd", true, ""},
		{"systemd, but a child of what it started", 0, []string{"SYSTEMD_EXEC_PID", "6"}, "", 10 * time.Second, "Docker's default", true, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, err := Look(Input{Flag: c.flag, Getenv: env(c.env...), Root: fstest.MapFS{}, PID: 7})
			if err != nil {
				t.Fatal(err)
			}
			if f.Platform != c.platform || f.Grace != c.grace || f.Assumed != c.assumed || !strings.Contains(f.Source, c.source) {
				t.Errorf("got %+v", f)
			}
			if warned := strings.Join(f.Warnings, "\n"); (warned == "") != (c.warning == "") || !strings.Contains(warned, c.warning) {
				t.Errorf("warnings %q, want %q", warned, c.warning)
			}
		})
	}
}

func TestParseGrace(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"": 0, " ": 0, "30": 30 * time.Second, "30s": 30 * time.Second, " 2m ": 2 * time.Minute, "1.5h": 90 * time.Minute,
		"4294967295": 4294967295 * time.Second,
	} {
		if got, err := ParseGrace(s); got != want || err != nil {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"0", "0s", "-5", "-5s", "soon", "30 seconds", "1e3", "99999999999", "300000000h"} {
		if got, err := ParseGrace(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	if _, err := Look(Input{Getenv: env("EBB_GRACE", "soon")}); err == nil || !strings.Contains(err.Error(), `EBB_GRACE: "soon" is not a time: write it as 30s`) {
		t.Errorf("a wrong EBB_GRACE: %v", err)
	}
}

// tree is the /proc of processes written as "pid parent name [command line…]"; a
// star after the name says that it catches TERM, an at sign that it has a terminal.
func tree(extra string, processes ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, p := range processes {
		f := strings.Fields(p)
		name, catches := strings.CutSuffix(f[2], "*")
		name, terminal := strings.CutSuffix(name, "@")
		mask, tty := "0000000000010000", 0
		if terminal {
			tty = 34816
		}
		if catches {
			mask = "0000000000014000"
		}
		dir := "proc/" + f[0] + "/"
		files[dir+"status"] = &fstest.MapFile{Data: fmt.Appendf(nil, "Name:\t%s\nState:\tS (sleeping)\nPPid:\t%s\nSigCgt:\t%s\n", name, f[1], mask)}
		files[dir+"stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%s (%s) ) S %s 1 1 %d -1 4194304\n", f[0], name, f[1], tty)}
		files[dir+"cmdline"] = &fstest.MapFile{Data: []byte(strings.Join(f[3:], "\x00") + "\x00")}
	}
	if extra != "" {
		files[extra] = &fstest.MapFile{}
	}
	return files
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	const docker = ".dockerenv"
	kubernetes := env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	cases := []struct {
		name string
		env  func(string) string
		pid  int
		root fstest.MapFS
		want string // in the warning; "" for none
	}{
		{"first process", env(), 1, tree(docker, "1 0 worker"), ""},
		{"child of a shell", env(), 7, tree(docker, "1 0 sh sh -c worker;true", "7 1 worker"), "PID 1 is sh, which ignores TERM"},
		{"the same by Kubernetes", kubernetes, 7, tree("", "1 0 bash", "7 1 worker"), "PID 1 is bash"},
		{"the same by podman", env(), 7, tree("run/.containerenv", "1 0 dash", "7 1 worker"), "PID 1 is dash"},
		{"the same by systemd-nspawn", env("container", "systemd-nspawn"), 7, tree("", "1 0 dash", "7 1 worker"), "PID 1 is dash"},
		{"not in a container", env(), 7, tree("", "1 0 sh", "7 1 worker"), ""},
		{"a shell with a trap may pass it on", env(), 7, tree(docker, "1 0 sh*", "7 1 worker"), ""},
		{"busybox as a shell", env(), 7, tree(docker, "1 0 busybox /bin/sh -c worker", "7 1 worker"), "PID 1 is busybox"},
		{"busybox called by its name", env(), 7, tree(docker, "1 0 busybox busybox ash -c worker", "7 1 worker"), "PID 1 is busybox"},
		{"busybox as something else", env(), 7, tree(docker, "1 0 busybox timeout 60 worker", "7 1 worker"), ""},
		{"child of an init", env(), 7, tree(docker, "1 0 tini", "7 1 worker"), ""},
		{"init, shell, worker", env(), 8, tree(docker, "1 0 tini", "7 1 sh", "8 7 worker"), "grandchild of PID 1 (tini), by way of sh (PID 7): TERM ends there"},
		{"npm, node, worker", env(), 8, tree(docker, "1 0 npm", "7 1 node", "8 7 worker"), "only if node (PID 7) passes it on"},
		{"great-grandchild", env(), 9, tree(docker, "1 0 tini", "7 1 sh", "8 7 su", "9 8 worker"), "only if su (PID 8)"},
		{"our own init tells everybody", env(), 8, tree(docker, "1 0 ebb-init", "7 1 sh", "8 7 worker"), ""},
		{"a machine in a container", env(), 8, tree(docker, "1 0 systemd", "7 1 sh", "8 7 worker"), ""},
		{"shared process namespace", kubernetes, 30, tree("", "1 0 pause", "30 0 worker"), ""},
		{"shared process namespace, shell", kubernetes, 31, tree("", "1 0 pause", "30 0 sh", "31 30 worker"), "first process is sh, which dies of TERM"},
		{"in a container that ran already", kubernetes, 31, tree("", "1 0 worker", "30 0 sh", "31 30 hook"), ""},
		{"the same where PID 1 is hidden", kubernetes, 31, tree("", "30 0 sh", "31 30 hook"), ""},
		{"by a person", env(), 8, tree(docker, "1 0 bash@", "7 1 go@", "8 7 worker@"), ""},
		{"a parent that cannot be read", env(), 8, tree(docker, "8 7 worker"), ""},
		{"parents in a ring", env(), 8, tree(docker, "8 7 worker", "7 8 sh"), ""},
		{"no /proc", env(), 8, tree(docker), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, err := Look(Input{Getenv: c.env, Root: c.root, PID: c.pid})
			if err != nil {
				t.Fatal(err)
			}
			if warned := strings.Join(f.Warnings, "\n"); (warned == "") != (c.want == "") || !strings.Contains(warned, c.want) {
				t.Errorf("warnings %q, want %q", warned, c.want)
			}
		})
	}
}

func TestUnreadableProcesses(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]string{
		"empty": "", "no parent": "Name:\tx\n", "a parent that is no number": "PPid:\tx\n", "no colon": "PPid 1\n",
	} {
		root := fstest.MapFS{"proc/7/status": {Data: []byte(status)}}
		if p, err := ReadProcess(root, 7); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRSS(t *testing.T) {
	t.Parallel()
	page := int64(os.Getpagesize())
	for statm, want := range map[string]int64{"900 25 10 1 0 80 0\n": 25 * page, "": 0, "900": 0, "900 many": 0} {
		root := fstest.MapFS{"proc/7/statm": {Data: []byte(statm)}}
		if got := RSS(root, 7); got != want {
			t.Errorf("%q is %d, want %d", statm, got, want)
		}
	}
	if got := RSS(fstest.MapFS{}, 7); got != 0 {
		t.Errorf("nothing to read is %d", got)
	}
}

// What this very machine has is read without an error, whatever it is.
func TestHere(t *testing.T) {
	t.Parallel()
	in := Here(time.Minute)
	f, err := Look(in)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Look(in); f.Grace != time.Minute || cmp.Diff(f, again) != "" {
		t.Errorf("first %+v, then %+v", f, again)
	}
	if _, err := os.Stat("/proc/self/statm"); err == nil {
		if rss := RSS(in.Root, in.PID); rss < 1<<20 {
			t.Errorf("resident: %d bytes", rss)
		}
		if chain := Ancestors(in.Root, in.PID); len(chain) == 0 || chain[0].PID != in.PID || chain[0].Parent != os.Getppid() {
			t.Errorf("ancestors: %+v", chain)
		}
	}
}

//go:build slow

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// pane is a terminal of tmux's, on a server of its own.
type pane struct {
	t      *testing.T
	socket string
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", p.socket, "-f", os.DevNull}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %s: %v\n%s", args, err, out)
	}
	return string(out)
}

func (p *pane) shows(want ...string) string {
	p.t.Helper()
	screen := ""
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		screen = p.tmux("capture-pane", "-p")
		missing := slices.IndexFunc(want, func(w string) bool { return !strings.Contains(screen, w) })
		if missing < 0 {
			return screen
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it never showed %q:\n%s", want[missing], screen)
		}
	}
}

// TestTopInATerminal drives the view by hand, so to speak: it is resized, filtered, told
// to quiet a process, and left by ^C. With -update it also draws the picture in
// docs/reference.
func TestTopInATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "ebb.db")
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	next := rolling(t, s)

	p := &pane{t, filepath.Join(dir, "tmux")}
	start := []string{"new-session", "-d", "-x", "120", "-y", "30", "-c", dir}
	for _, v := range []string{"EBB_STORE=" + url, "LC_ALL=C.UTF-8", "PS1=$ ", "GORACE=atexit_sleep_ms=0", "EBB_READONLY="} {
		start = append(start, "-e", v)
	}
	p.tmux(append(start, "sh")...)
	defer p.tmux("kill-server")
	p.tmux("set-option", "-g", "window-size", "manual")
	p.tmux("set-option", "-g", "escape-time", "0")
	p.tmux("send-keys", "stty -a >before; ebb top; echo left with $?; stty -a >after; echo written", "Enter")

	p.shows("ebb top", "◒ worker-3:7", "8 jobs left", "v142 → v143", "✕ worker-5:7", "esc quit")
	if *update {
		p.picture(filepath.Join("..", "..", "docs", "reference", "top.svg"))
	}
	if on := strings.TrimSpace(p.tmux("display-message", "-p", "#{alternate_on}")); on != "1" {
		t.Errorf("it is not on the alternate screen: %s", on)
	}
	for _, size := range [][2]int{{60, 15}, {80, 24}, {120, 30}} {
		p.tmux("resize-window", "-x", fmt.Sprint(size[0]), "-y", fmt.Sprint(size[1]))
		screen := p.shows("ebb top", "worker-3:7", "esc quit")
		for line := range strings.Lines(screen) {
			if lipgloss.Width(strings.TrimRight(line, "\n")) > size[0] {
				t.Errorf("at %v: %q", size, line)
			}
		}
		if *update {
			p.keep(fmt.Sprintf("%dx%d", size[0], size[1]))
		}
	}

	p.tmux("send-keys", "2", "/")
	p.tmux("send-keys", "-l", "worker-6")
	p.tmux("send-keys", "Enter")
	p.shows("▸● worker-6:8", "/worker-6")
	p.tmux("send-keys", "q")
	p.shows("quiet 1 process: worker-6:8", "Go on? [y/N]")
	p.tmux("send-keys", "y")
	p.shows("worker-6:8: quiet told")
	orders, err := s.Beat(t.Context(), next, time.Minute)
	if err != nil || len(orders.Commands) != 1 || orders.Commands[0].Verb != store.Quiet {
		t.Errorf("the process got %v, %v", orders.Commands, err)
	}
	if *update {
		for _, key := range []string{"Escape", "3", "4", "5", "?"} {
			p.tmux("send-keys", key)
			time.Sleep(1500 * time.Millisecond)
			p.keep("tab-" + strings.ReplaceAll(key, "?", "help"))
		}
		p.tmux("send-keys", "x")
	}

	p.tmux("send-keys", "C-c")
	p.shows("left with 0", "written")
	if on := strings.TrimSpace(p.tmux("display-message", "-p", "#{alternate_on}")); on != "0" {
		t.Errorf("it left the alternate screen on: %s", on)
	}
	before, after := read(t, filepath.Join(dir, "before")), read(t, filepath.Join(dir, "after"))
	if before == "" || before != after {
		t.Errorf("the terminal was\n%s\nand is\n%s", before, after)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// picture draws what the terminal shows.
func (p *pane) picture(file string) {
	p.t.Helper()
	draw := exec.Command("go", "run", "-C", filepath.Join("..", "..", "tools"), "./screen")
	draw.Stdin = strings.NewReader(p.tmux("capture-pane", "-pe"))
	svg, err := draw.Output()
	if err == nil {
		err = os.WriteFile(file, svg, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// keep writes a picture for whoever wants to look at it.
func (p *pane) keep(name string) { p.picture(filepath.Join(p.t.ArtifactDir(), name+".svg")) }

// rolling peoples a store with a rollout that is under way, and returns the process that
// lives on.
func rolling(t *testing.T, s store.Store) (next store.Presence) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	presence := func(name, release string, pid, busy int) store.Presence {
		p := store.Presence{
			ID: store.Identity(fmt.Sprintf("%s:%d:0123456789ab", name, pid)), Host: name, PID: pid, Release: release, Version: "1.0", State: "running",
			Started: now.Add(-time.Hour), Concurrency: 20, RSS: 212 << 20, Grace: 2 * time.Minute,
			Groups: []store.Group{{Name: "default", Concurrency: 20, Queues: []store.Share{{Queue: "mailers"}, {Queue: "reports"}}}},
			Turns:  []store.Turn{{State: "running", At: now.Add(-time.Hour)}},
		}
		for i := range busy {
			p.Busy = append(p.Busy, store.Run{JID: fmt.Sprintf("0199aa00bb00cc00%04d%04d", pid, i), Kind: []string{"ReportJob", "EmailJob"}[i%2], Queue: "reports", Slot: fmt.Sprint(i),
				Since: now.Add(-time.Duration(i+1) * 20 * time.Second), Note: map[bool]string{true: "page 1,204 of 1,900"}[i == 0]})
		}
		return p
	}
	beat := func(p store.Presence) {
		t.Helper()
		_, err := s.Beat(ctx, p, 10*time.Minute)
		must(err)
	}
	call := func(id store.Identity) store.Call { return store.Call{By: id, Lane: store.LaneVerdict, Seq: 1} }
	fates := func(counts map[string]int) (jobs []store.Fate) {
		for _, fate := range []string{"finished", "checkpointed", "handed back", "rescued"} {
			for i := range counts[fate] {
				jobs = append(jobs, store.Fate{JID: fmt.Sprintf("%s-%d-%p", fate, i, &jobs), Kind: "ReportJob", Queue: "reports", Fate: fate})
			}
		}
		return jobs
	}
	end := func(name string, began, took time.Duration, counts map[string]int) {
		t.Helper()
		p := presence(name, "v142", 7, 0)
		beat(p)
		r := store.StopReport{ID: p.ID, Release: "v142", Reason: "SIGTERM", Began: now.Add(-began), Ended: now.Add(took - began), Grace: 2 * time.Minute, Jobs: fates(counts)}
		r.Phases = []store.Phase{{Name: "quiet", Took: took / 4}, {Name: "draining", Took: took - took/4, InFlight: len(r.Jobs)}}
		if counts["rescued"] > 0 {
			r.Reason, r.Began, r.Heard, r.Phases, r.By, r.Grace = fleet.Vanished, time.Time{}, now.Add(-began), nil, "worker-6:8:0123456789ab", 0
		}
		must(s.Leave(ctx, call(p.ID), store.Farewell{ID: p.ID, Report: r}))
	}
	end("worker-5", 44*time.Second, 1400*time.Millisecond, map[string]int{"rescued": 3})
	end("worker-2", 50*time.Second, 6*time.Second, map[string]int{"finished": 4})
	end("worker-1", 52*time.Second, 21*time.Second, map[string]int{"finished": 9, "checkpointed": 1})
	for i, name := range []string{"worker-3", "worker-4"} {
		p := presence(name, "v142", 7, []int{6, 2}[i])
		p.State = "draining"
		p.Turns = append(p.Turns, store.Turn{State: "quiet", At: now.Add(-50 * time.Second)}, store.Turn{State: "draining", At: now.Add(-time.Duration(42-2*i) * time.Second)})
		p.KillAt = now.Add(time.Duration(78+2*i) * time.Second)
		beat(p)
	}
	next = presence("worker-6", "v143", 8, 14)
	next.Started, next.Turns = now.Add(-time.Minute), []store.Turn{{State: "running", At: now.Add(-time.Minute)}}
	beat(next)
	push(t, ctx, s)
	return next
}

func push(t *testing.T, ctx context.Context, s store.Store) {
	t.Helper()
	client := store.Identity("web-1:3:0123456789ab")
	for i := range 30 {
		jid := fmt.Sprintf("0199aa00bb00cc00dd01%04d", i)
		queue := []string{"mailers", "reports", "images"}[i%3]
		payload := fmt.Sprintf(`{"class":"EmailJob","args":[],"jid":%q,"queue":%q,"retry":true,"created_at":1767225600.5}`, jid, queue)
		if _, err := s.Push(ctx, store.Call{By: client, Lane: store.LanePush, Seq: uint64(i + 1)}, store.Item{JID: jid, Queue: queue, Kind: "EmailJob", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
}

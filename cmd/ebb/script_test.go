package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ebbjobs/ebb/internal/command"
	"github.com/ebbjobs/ebb/internal/parallel"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

var update = flag.Bool("update", false, "write what the scripts and documents want anew")

func TestMain(m *testing.M) {
	if command.IsGuard(os.Args) { // of a worker that is this very program
		command.GuardMain()
	}
	completeWithin = time.Minute // a machine that does much else at once is no reason to fail
	// ebb init runs ebb rescue as /proc/self/exe, which must not be all of these tests.
	testscript.Main(tests{m}, map[string]func(){"ebb": main, "exe": main})
}

// tests are all that there are, and what scripts and documents run is the program as
// users have it. TESTED is where it stands as a part of these tests, with what TestMain
// has set.
type tests struct{ *testing.M }

func (t tests) Run() int {
	tested, err := exec.LookPath("ebb")
	if err == nil {
		os.Setenv("TESTED", filepath.Dir(tested))
		var remove func()
		if remove, err = plain(); err == nil {
			defer remove()
			parallel.Tests(4)
			return t.M.Run()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestScripts runs testdata/script/*.txtar. Beside testscript's own commands there
// are
//
//	exits CODE ebb ARGS…   run ebb, and want that exit code
//	redis                  start a server of this script's own, and set EBB_STORE
//	seed                   put well-known jobs into EBB_STORE, see seed
//	signal NAME &PROGRAM   send a signal to a program in the background
//	await FILE TEXT        wait until a file holds a text
//	meddle QUERY ARGS…     change EBB_STORE past ebb: by SQL, or by a command of Redis
//
// What has a ttyout after it sleeps for a moment at its end: testscript closes the
// terminal as soon as the program ends, read or not.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "slow" {
				return false, fmt.Errorf("no such condition")
			}
			return slow, nil
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("EBB_STORE", "sqlite:"+filepath.Join(env.WorkDir, "ebb.db"))
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("TESTED", os.Getenv("TESTED"))
			env.Setenv("EBB_GRACE", "10s")
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir) // for control sockets
			env.Values[serverKey{}] = new(*redistest.Server)
			return goEnv(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"redis": func(ts *testscript.TestScript, _ bool, _ []string) {
				server := redistest.Start(t)
				ts.Setenv("EBB_STORE", server.URL())
				*ts.Value(serverKey{}).(**redistest.Server) = server
			},
			"seed": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(seed(t.Context(), ts.Getenv("EBB_STORE")))
			},
			"signal": signalBackground,
			"await":  await,
			"meddle": meddle,
		},
	})
}

// slow is set where the tests that take long run too.
var slow bool

// serverKey is where a script keeps its Redis.
type serverKey struct{}

func meddle(ts *testscript.TestScript, _ bool, args []string) {
	if server := *ts.Value(serverKey{}).(**redistest.Server); server != nil {
		_, err := server.Try(args...)
		ts.Check(err)
		return
	}
	db, err := sql.Open("sqlite", strings.TrimPrefix(ts.Getenv("EBB_STORE"), "sqlite:"))
	ts.Check(err)
	defer db.Close()
	var values []any
	for _, arg := range args[1:] {
		values = append(values, arg)
	}
	_, err = db.ExecContext(context.Background(), args[0], values...)
	ts.Check(err)
}

// goEnv lets scripts run the go command on modules of their own, without the net, and
// tells where this one is, as REPO.
func goEnv(env *testscript.Env) error {
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	env.Setenv("REPO", repo)
	for _, v := range []string{"GOPROXY=off", "GOWORK=off", "GOFLAGS=-mod=mod"} {
		name, value, _ := strings.Cut(v, "=")
		env.Setenv(name, value)
	}
	folders := []string{"GOCACHE", "GOMODCACHE", "GOPATH"}
	values, err := exec.Command("go", append([]string{"env"}, folders...)...).Output()
	if err != nil {
		return err
	}
	for i, value := range strings.Split(strings.TrimSpace(string(values)), "\n") {
		env.Setenv(folders[i], value)
	}
	return nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		ended, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

var signals = map[string]os.Signal{
	"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill, "TSTP": syscall.SIGTSTP, "HUP": syscall.SIGHUP,
	"CONT": syscall.SIGCONT, "STOP": syscall.SIGSTOP,
}

func signalBackground(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal NAME PROGRAM")
	}
	s, ok := signals[args[0]]
	if !ok {
		ts.Fatalf("no signal %s here", args[0])
	}
	sent := 0
	for _, cmd := range ts.BackgroundCmds() {
		if filepath.Base(cmd.Path) == strings.TrimPrefix(args[1], "&") {
			ts.Check(cmd.Process.Signal(s))
			sent++
		}
	}
	if sent == 0 {
		ts.Fatalf("no %s runs in the background", args[1])
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE TEXT")
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(content), args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never held %q, but\n%s", args[0], args[1], content)
		}
	}
}

// seed fills a store with jobs of which scripts and examples know the jids: their
// tails are 0001 and so on in this order.
//
//	images    3 ready    ResizeImage
//	default   2 ready    WelcomeJob
//	mailers   1 ready    EmailJob, and the queue is paused
//	reports   2 later    ReportJob, due in an hour and in two
//	default   3 retry    InvoiceJob, two with CardError, one with Timeout
//	default   2 dead     ImportJob
//
// A process host-1:7:… of release v142 ran the failed ones, and has left.
func seed(ctx context.Context, url string) error {
	s, err := storeurl.Open(ctx, url)
	if err != nil {
		return err
	}
	defer s.Close()
	n := 0
	item := func(queue, kind, args, extra string) store.Item {
		n++
		jid := fmt.Sprintf("0199aa00bb00cc00dd00%04d", n)
		payload := fmt.Sprintf(`{"class":%q,"args":%s,"jid":%q,"queue":%q,"retry":true,"created_at":1767225600.5%s}`, kind, args, jid, queue, extra)
		return store.Item{JID: jid, Queue: queue, Kind: kind, Payload: []byte(payload)}
	}
	const by, client = store.Identity("host-1:7:0123456789ab"), store.Identity("host-1:6:0123456789ab")
	push := func(seq uint64, items ...store.Item) {
		_, pushed := s.Push(ctx, store.Call{By: client, Lane: store.LanePush, Seq: seq}, items...)
		err = errors.Join(err, pushed)
	}
	waiting := []store.Item{
		item("images", "ResizeImage", `["cat.jpg"]`, ""), item("images", "ResizeImage", `["dog.jpg"]`, ""), item("images", "ResizeImage", `["owl.jpg"]`, `,"tags":["eu"]`),
		item("default", "WelcomeJob", `[42,"de"]`, ""), item("default", "WelcomeJob", `[43,"fr"]`, ""),
		item("mailers", "EmailJob", `[{"to":"ada@example.com"}]`, ""),
	}
	for i := range 2 {
		later := item("reports", "ReportJob", `[7]`, "")
		later.Delay = time.Duration(i+1) * time.Hour
		_, scheduled := s.Schedule(ctx, store.Call{By: client, Lane: store.LanePush, Seq: uint64(1 + i)}, later)
		err = errors.Join(err, scheduled)
	}
	failed := func(class, message string) string {
		return fmt.Sprintf(`,"error_class":%q,"error_message":%q,"failed_at":1767229200.25,"retry_count":3`, class, message)
	}
	bad := []store.Item{
		item("default", "InvoiceJob", `[{"order":7771}]`, failed("CardError", "declined")),
		item("default", "InvoiceJob", `[{"order":7772}]`, failed("CardError", "declined")),
		item("default", "InvoiceJob", `[{"order":7773}]`, failed("Timeout", "no answer in 30 s")),
		item("default", "ImportJob", `["a.csv"]`, failed("ParseError", "line 7")),
		item("default", "ImportJob", `["b.csv"]`, failed("ParseError", "line 9")),
	}
	push(3, bad...)
	p := store.Presence{ID: by, Host: "host-1", PID: 7, Release: "v142", Started: time.Now(), Concurrency: 5, State: "running"}
	_, beaten := s.Beat(ctx, p, time.Minute)
	held, _, fetched := s.Fetch(ctx, store.Call{By: by, Lane: store.LaneFetch, Seq: 1}, store.Plan{Queues: []store.Share{{Queue: "default"}}}, 5, 0)
	if err = errors.Join(err, beaten, fetched); err != nil {
		return err
	}
	if len(held) != len(bad) {
		return fmt.Errorf("fetched %d jobs to fail, want %d", len(held), len(bad))
	}
	for i, h := range held {
		later := store.Later{Token: h.Token, Payload: h.Payload, Failed: true, Delay: time.Duration(22+i) * time.Hour}
		verdict := s.Retry
		if i >= 3 {
			verdict = s.Bury
		}
		err = errors.Join(err, verdict(ctx, store.Call{By: by, Lane: store.LaneVerdict, Seq: uint64(i + 1)}, later))
	}
	push(4, waiting...)
	now := time.Now()
	return errors.Join(err, s.Pause(ctx, "mailers", true), s.Leave(ctx, store.Call{By: by, Lane: store.LaneVerdict, Seq: 9}, store.Farewell{
		ID: by, Report: store.StopReport{ID: by, Release: "v142", Reason: "SIGTERM", Began: now.Add(-2 * time.Second), Ended: now, Grace: 30 * time.Second,
			Phases: []store.Phase{{Name: "draining", Took: 2 * time.Second, InFlight: 1}},
			Jobs:   []store.Fate{{JID: "0199aa00bb00cc00dd000099", Kind: "ReportJob", Queue: "reports", Fate: "finished"}}},
	}))
}

//go:build unix

package command

import (
	"context"

	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/wire"
)

// soon is how long anything may take on a busy machine.
const soon = 45 * time.Second

func TestMain(m *testing.M) {
	switch {
	case IsGuard(os.Args):
		GuardMain()
	case os.Getenv(workerVariable) != "":
		os.Exit(workerMain())
	}
	goleak.VerifyTestMain(m)
}

// site is where programs run, with a place for what they write.
type site struct {
	*testing.T
	dir    string
	guards *Guards
	log    *buffer
	output *buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), log: &buffer{}, output: &buffer{}}
	s.guards = NewGuards(s.logger())
	t.Cleanup(s.guards.Close)
	return s
}

func (s *site) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s.log, nil)) }

func (s *site) options() Options {
	return Options{Guards: s.guards, Log: s.logger(), Output: s.output}
}

// shell declares a program in sh, which runs in the site's folder.
func (s *site) shell(script string) Spec {
	return Spec{Kind: "Test", Argv: []string{"sh", "-c", script}, Dir: s.dir}
}

// run runs a program outside of any process, for a job of no consequence.
func (s *site) run(ctx context.Context, spec Spec) error {
	s.Helper()
	return New(spec, s.options()).Run(ctx, job(s.T, `{"class":"Test","args":[1],"jid":"0123456789abcdef","queue":"q"}`))
}

func job(t *testing.T, payload string) *wire.Job {
	t.Helper()
	j, err := wire.Parse([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// read returns what a program has written to a file, "" if there is none.
func (s *site) read(name string) string {
	s.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return string(text)
}

// await waits until a program has written a file.
func (s *site) await(name string) string {
	s.Helper()
	eventually(s.T, name+" is written", func() bool { return strings.HasSuffix(s.read(name), "\n") })
	return strings.TrimSpace(s.read(name))
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > soon {
			t.Fatalf("after %v it is still not so that %s", soon, what)
		}
	}
}

// buffer collects what many goroutines write.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

//go:build unix

package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// neverLost polls for d.
func neverLost(t *testing.T, s *Store, d time.Duration, dead ...store.Identity) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		lost, err := s.Orphans(t.Context(), 10, dead...)
		if err != nil {
			t.Fatal(err)
		}
		if len(lost) > 0 {
			t.Fatalf("lost while a guard lives: %+v", lost)
		}
	}
}

// TestGuardKeepsLease: a process that is gone keeps its jobs for as long as one that
// it gave its lease to lives, and no longer.
func TestGuardKeepsLease(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s := openFile(t, path, Options{})
	for _, tt := range []struct {
		role  string
		cause store.Cause
	}{
		{"guarded", store.Lapsed},
		{"guarded, leaves", store.Left},
	} {
		t.Run(tt.role, func(t *testing.T) {
			mustPush(t, s, "a")
			c := start(t, tt.role, path)
			var id store.Identity
			fmt.Sscan(c.line(t), &id)
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			c.Process.Wait() // not Wait, which would close the guard's standard input
			neverLost(t, s, 2*deafLease)
			neverLost(t, s, 100*time.Millisecond, id) // also not to who saw it die
			if n, err := s.Rescue(t.Context(), store.Salvage{ID: id, Cause: store.Witnessed}); n != 0 || err != nil {
				t.Fatalf("rescued %d, %v", n, err)
			}
			ended := time.Now()
			c.stdin.Close()
			var lost []store.Lost
			eventually(t, "the process is found", func() bool {
				lost = lostTo(t, s)
				return len(lost) == 1
			})
			if took := time.Since(ended); took > time.Second {
				t.Errorf("found %v after its guard ended", took)
			}
			l := lost[0]
			if l.ID != id || l.Cause != tt.cause || len(l.Jobs) != 1 {
				t.Fatalf("lost %+v", l)
			}
			n, err := s.Rescue(t.Context(), store.Salvage{ID: id, Cause: l.Cause, Seen: l.Seen,
				Jobs: []store.Rescued{{Token: l.Jobs[0].Token, Was: l.Jobs[0].Payload, To: store.Dead}}})
			if n != 1 || err != nil {
				t.Fatalf("rescued %d, %v", n, err)
			}
		})
	}
}

// runGuarded is a process that has a guard, and is then KILLed.
func runGuarded(s *Store, id store.Identity, held []store.Held, leaves bool) error {
	lease, err := s.LeaseFile(id)
	if err != nil {
		return err
	}
	guard := exec.Command(os.Args[0])
	guard.Env = append(os.Environ(), childRole+"=guard", "GORACE=atexit_sleep_ms=0") // it ends when it ends
	guard.Stdin, guard.ExtraFiles = os.Stdin, []*os.File{lease}
	if err := errors.Join(guard.Start(), lease.Close()); err != nil {
		return err
	}
	if leaves {
		f := store.Farewell{ID: id, Deaf: []store.Token{held[0].Token}}
		if err := s.Leave(context.Background(), store.Call{By: id, Seq: 1}, f); err != nil {
			return err
		}
	}
	fmt.Println(id)
	select {}
}

// TestGuardAndLeave: descriptors that are left over.
func TestGuardAndLeave(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		deaf    bool
		guarded bool
		kept    bool // for as long as the duplicate is open
	}{
		{"after a clean leave it keeps nothing", false, true, false},
		{"deaf jobs are kept", true, true, true},
		{"deaf jobs without a guard are not", true, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path, c := filepath.Join(t.TempDir(), "ebb.db"), new(clock)
			owner, s := register(t, openFile(t, path, Options{Clock: c.now})), openFile(t, path, Options{Clock: c.now})
			mustPush(t, s, "a")
			jobs := owner.fetch(1)
			var lease *os.File
			for range 2 { // each run takes one
				if !tt.guarded {
					break
				}
				var err error
				if lease, err = owner.LeaseFile(owner.id); err != nil {
					t.Fatal(err)
				}
				defer lease.Close()
			}
			f := store.Farewell{ID: owner.id}
			if tt.deaf {
				f.Deaf = []store.Token{jobs[0].Token}
			}
			call := owner.call(store.LaneVerdict)
			for range 2 {
				if err := owner.Leave(t.Context(), call, f); err != nil {
					t.Fatal(err)
				}
			}
			// A late beat does not take the file from the guards.
			if _, err := owner.Beat(t.Context(), store.Presence{ID: owner.id}, time.Minute); !errors.Is(err, store.ErrLeft) {
				t.Fatalf("beat after leave: %v", err)
			}
			if tt.guarded {
				if _, err := owner.LeaseFile(owner.id); !errors.Is(err, store.ErrLeaseLost) {
					t.Errorf("lease file after leave: %v", err)
				}
			}
			c.pass(2 * deafLease)
			want := 0
			if tt.deaf && !tt.kept {
				want = 1
			}
			if lost := lostTo(t, s); len(lost) != want {
				t.Fatalf("lost %v, want %d", lost, want)
			}
			if !tt.kept {
				return
			}
			lease.Close()
			if lost := lostTo(t, s); len(lost) != 0 {
				t.Fatalf("lost %v though another guard lives", lost)
			}
		})
	}
}

func TestLeaseFileOfNobody(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ebb.db")
	s, other := openFile(t, path, Options{}), register(t, openFile(t, path, Options{}))
	for _, id := range []store.Identity{"nobody:1:abc", other.id} {
		if f, err := s.LeaseFile(id); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("%s: got %v, %v", id, f, err)
		}
	}
}

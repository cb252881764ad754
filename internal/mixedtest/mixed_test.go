//go:build unix && slow

package mixedtest

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// onBoth runs a test on each store that processes can share.
func onBoth(t *testing.T, test func(*site)) {
	for name, url := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "ebb.db") },
		"redis":  func(t *testing.T) string { return redistest.Start(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newSite(t, url(t)))
		})
	}
}

// ends are how workers end, one after the other, beginning with one of the old release:
// each release in each way.
var ends = []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM}

// TestSideBySide ends workers of both releases in turn, while one of the other
// release runs beside them and then takes over alone.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *site) {
		l := ledger{site: s, killed: map[int]int{}}
		leaving := s.work(older)
		for i, sig := range ends {
			// What only the one that leaves can have begun …
			mine := slices.Concat(
				s.enqueue(leaving.release.other(), 1, "Carries"),
				s.enqueue(leaving.release, 1, "Fails"),
				s.enqueue(leaving.release.other(), 1, "Snoozes"))
			later := s.enqueue(leaving.release, 1, "Works", `"in":"1h"`)
			s.eventually("the first runs", func() bool { return s.has("begun", mine...) })
			s.eventually("the checkpoint in the store", func() bool {
				return history(s, s.in(store.Keeping)[mine[0]])["cp"] != nil
			})
			s.eventually("all that waits in its place", func() bool {
				return len(s.in(store.Retrying)) == 1 && len(s.in(store.Scheduled)) == 2
			})

			// … and what both do.
			staying := s.work(leaving.release.other())
			shared := slices.Concat(s.enqueue(older, 40, "Works"), s.enqueue(newer, 40, "Works"))
			s.eventually("both run jobs", func() bool { return len(l.runsOf(shared, older)) > 4 && len(l.runsOf(shared, newer)) > 4 })
			leaving.end(sig)
			if sig == syscall.SIGKILL {
				l.killed[leaving.pid()] = staying.pid()
			}
			s.ebb(staying.release, "", "jobs", "reschedule", "--all", "--in", "100ms", "--yes", "--state", "scheduled,retry")
			all := slices.Concat(mine, later, shared)
			s.eventually("everything done", func() bool { return s.has("done", all...) })
			l.crossed(append(mine, later...), leaving.release)
			if s.Failed() {
				s.Fatalf("in step %d, %v of the %s one", i, sig, leaving.name)
			}
			leaving = staying
		}
		s.ebb(newer, "", "wait", "--for", "idle", "--timeout", "1m")
		leaving.end(syscall.SIGTERM)
		l.close(int64(len(ends)))
	})
}

// ledger counts what the handlers noted and what the store says.
type ledger struct {
	*site
	killed  map[int]int // who was there to rescue, by pid
	deleted int
}

func (l *ledger) runsOf(jids []string, r *release) (runs []note) {
	for _, n := range l.notes("begun") {
		if n.release == r.name && slices.Contains(jids, n.jid) {
			runs = append(runs, n)
		}
	}
	return runs
}

// crossed checks the jobs that one release began and the other one ended, the last
// of which only waited for its time: what the first one noted has come over.
func (l *ledger) crossed(jids []string, from *release) {
	l.Helper()
	to := from.other()
	for i, jid := range jids {
		kind := []string{"Carries", "Fails", "Snoozes", "Works"}[i]
		begun, ended := l.runsOf([]string{jid}, from), l.runsOf([]string{jid}, to)
		if want := 1 - i/3; len(begun) != want || len(ended) != 1 {
			l.Errorf("%s %s: %d runs by the %s release and %d by the other, want %d and 1", kind, jid, len(begun), from.name, len(ended), want)
			continue
		}
		var last note
		for _, n := range l.notes("done") {
			if n.jid == jid {
				last = n
			}
		}
		want := note{jid: jid, release: to.name, attempt: "1", interruptions: "0"}
		switch kind {
		case "Carries":
			want.interruptions, want.checkpoint = "1", from.name
		case "Fails":
			want.attempt = "2"
		}
		if last != want {
			l.Errorf("%s: noted %+v, want %+v", kind, last, want)
		}
	}
}

// close checks that every job was done, that both releases find the books balanced,
// that only what failed was billed, and that nobody was rescued but the killed.
func (l *ledger) close(failed int64) {
	l.Helper()
	done := map[string]bool{}
	for _, n := range l.notes("done") {
		done[n.jid] = true
	}
	if beside := l.notes("beside"); len(done) != l.made-l.deleted || len(beside) > 0 {
		l.Errorf("%d of %d jobs are done; beside another run: %v", len(done), l.made-l.deleted, beside)
	}
	for _, r := range []*release{older, newer} {
		l.ebb(r, "", "books") // which fails if they do not balance
		if left := strings.TrimSpace(l.ebb(r, "", "jobs", "ls", "-o", "name")); left != "" {
			l.Errorf("the %s release finds jobs: %s", r.name, left)
		}
	}
	l.look(func(st store.Store) {
		stats, err := st.Stats(l.Context())
		l.must(err)
		if stats.Failed != failed {
			l.Errorf("%d runs were billed as failed, want %d", stats.Failed, failed)
		}
		rescuers := map[int]int{}
		for report, err := range st.Stops(l.Context()) {
			l.must(err)
			if report.By != "" {
				rescuers[report.ID.PID()] = report.By.PID()
			}
		}
		for pid, by := range rescuers {
			if want, killed := l.killed[pid]; !killed {
				l.Errorf("%d was rescued by %d and had not been killed", pid, by)
			} else if by != want {
				l.Errorf("%d was rescued by %d, want %d", pid, by, want)
			}
		}
		if len(rescuers) != len(l.killed) {
			l.Errorf("rescued %v, killed %v", rescuers, l.killed)
		}
	})
}

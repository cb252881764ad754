package crashtest

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// event is what a line of a ledger tells of a job.
type event string

const (
	asked    event = "asked"    // a push is about to be made
	accepted event = "accepted" // and has returned nil
	begun    event = "begun"    // a run began
	again    event = "again"    // it ended, and asked for another one
	ended    event = "ended"    // it ended, and the job is done
)

// pages is a file that one process writes its lines to. What was written is there
// after a KILL, since a line is one write.
type pages struct{ file *os.File }

func pagesOf(pid int) string { return fmt.Sprintf("%d.ledger", pid) }

// openPages opens the file of this process.
func openPages(dir string) (*pages, error) {
	file, err := os.OpenFile(filepath.Join(dir, pagesOf(os.Getpid())), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &pages{file}, err
}

func (p *pages) write(e event, jid string) {
	if _, err := fmt.Fprintf(p.file, "%d %s %s\n", time.Now().UnixNano(), e, jid); err != nil {
		panic(err)
	}
}

// run is one run of a job, as its process told it.
type run struct {
	pid     int
	began   int64
	outcome event // empty: cut off
}

// ledger is what all processes wrote.
type ledger struct {
	asked, accepted map[string]bool
	runs            map[string][]*run // in order of time
	done            map[string]bool
}

// readLedger reads the files of all processes.
func readLedger(t *testing.T, dir string) *ledger {
	t.Helper()
	l := &ledger{asked: map[string]bool{}, accepted: map[string]bool{}, runs: map[string][]*run{}, done: map[string]bool{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.ledger"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		l.read(t, name)
	}
	for _, runs := range l.runs {
		slices.SortFunc(runs, func(a, b *run) int { return cmp.Compare(a.began, b.began) })
	}
	return l
}

func (l *ledger) read(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var pid int
	if _, err := fmt.Sscanf(filepath.Base(name), "%d.ledger", &pid); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	open := map[string]*run{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var at int64
		var what event
		var jid string
		if _, err := fmt.Sscan(lines.Text(), &at, &what, &jid); err != nil {
			t.Fatalf("%s: %q: %v", name, lines.Text(), err)
		}
		switch what {
		case asked:
			l.asked[jid] = true
		case accepted:
			l.accepted[jid] = true
		case begun:
			open[jid] = &run{pid: pid, began: at}
			l.runs[jid] = append(l.runs[jid], open[jid])
		case again, ended:
			open[jid].outcome = what
			if what == ended {
				l.done[jid] = true
			}
		}
	}
}

// settle finds what is wrong, given the processes that were killed and the stop
// reports in the store. It returns how many jobs ran twice for a kill, and how many
// of these had been done the first time.
func (l *ledger) settle(t *testing.T, killed map[int]bool, stops []store.StopReport) (twice, doneTwice int) {
	t.Helper()
	heldAtKill := map[int]map[string]bool{} // by process and jid
	for _, stop := range stops {
		held := map[string]bool{}
		for _, fate := range stop.Jobs {
			if slices.Contains([]string{"rescued", "delayed", "buried"}, fate.Fate) {
				held[fate.JID] = true
			}
		}
		heldAtKill[stop.ID.PID()] = held
	}
	for _, runs := range l.runs {
		for _, r := range runs {
			if killed[r.pid] && heldAtKill[r.pid] == nil {
				t.Errorf("process %d was killed, and there is no stop report of it", r.pid)
				heldAtKill[r.pid] = map[string]bool{} // once is enough
			}
		}
	}
	for jid := range l.accepted {
		if !l.done[jid] {
			t.Errorf("%s was accepted and never done: %s", jid, l.story(jid))
		}
	}
	for jid, runs := range l.runs {
		if !l.asked[jid] {
			t.Errorf("%s ran and was never pushed", jid)
		}
		if last := runs[len(runs)-1]; last.outcome != ended {
			t.Errorf("%s did not end with its last run: %s", jid, l.story(jid))
		}
		repeated, doneBefore := false, false
		for _, r := range runs[:len(runs)-1] {
			if r.outcome == again {
				continue
			}
			repeated, doneBefore = true, doneBefore || r.outcome == ended
			if !killed[r.pid] || !heldAtKill[r.pid][jid] {
				t.Errorf("%s ran again although process %d did not die with it: %s", jid, r.pid, l.story(jid))
			}
		}
		if repeated {
			twice++
		}
		if doneBefore {
			doneTwice++
		}
	}
	return twice, doneTwice
}

// story tells all runs of a job.
func (l *ledger) story(jid string) string {
	var parts []string
	for _, r := range l.runs[jid] {
		parts = append(parts, fmt.Sprintf("%s in %d %s", time.Unix(0, r.began).Format("05.000"), r.pid, cmp.Or(r.outcome, "cut off")))
	}
	return cmp.Or(strings.Join(parts, ", "), "never begun")
}

//go:build containers

package containertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
)

// site is where workers run: a folder that containers have as /work, with the notes
// of their jobs, and a store.
type site struct {
	t     *testing.T
	dir   string
	redis *redistest.Server
	told  time.Time // when the platform began to stop the worker
	rows  []row
}

// row is something that happened during a stop.
type row struct {
	at        time.Time
	who, what string
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), redis: redistest.Start(t)}
	notes := filepath.Join(s.dir, "notes")
	if err := errors.Join(os.Chmod(s.dir, 0o777), os.Mkdir(notes, 0o777), os.Chmod(notes, 0o777)); err != nil {
		t.Fatal(err)
	}
	return s
}

// write puts a file into the folder.
func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// note is something that happened to a job.
type note struct {
	at        time.Time
	job, what string
}

// notes returns what jobs have noted, in order: each is an empty file with their names,
// whose time is when it happened, since no shell tells the time any better.
func (s *site) notes() []note {
	s.t.Helper()
	files, err := os.ReadDir(filepath.Join(s.dir, "notes"))
	if err != nil {
		s.t.Fatal(err)
	}
	var all []note
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			s.t.Fatal(err)
		}
		job, rest, _ := strings.Cut(f.Name(), ".")
		what, _, _ := strings.Cut(rest, ".")
		all = append(all, note{info.ModTime(), job, what})
	}
	slices.SortFunc(all, func(a, b note) int { return a.at.Compare(b.at) })
	return all
}

// count counts the notes of a kind.
func (s *site) count(what string) (n int) {
	s.t.Helper()
	for _, note := range s.notes() {
		if note.what == what {
			n++
		}
	}
	return n
}

// await waits until so many jobs have noted something.
func (s *site) await(what string, n int) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); s.count(what) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d jobs have %s after a minute", s.count(what), n, what)
		}
	}
}

// notice begins the table of a stop.
func (s *site) notice(who, what string) {
	s.told, s.rows = time.Now(), nil
	s.add(who, "%s", what)
}

func (s *site) add(who, what string, args ...any) {
	s.rows = append(s.rows, row{time.Now(), who, fmt.Sprintf(what, args...)})
}

// stamp is what docker logs -t puts in front of each line.
var stamp = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\S+Z) (.*)$`)

// print prints the table: what the platform did, what the containers said and what the
// jobs noted, by the second.
func (s *site) print(logs string) {
	s.t.Helper()
	rows := slices.Clone(s.rows)
	for line := range strings.Lines(logs) {
		if m := stamp.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			if at, err := time.Parse(time.RFC3339Nano, m[1]); err == nil {
				rows = append(rows, row{at, "worker", short(m[2])})
			}
		}
	}
	for _, n := range s.notes() {
		rows = append(rows, row{n.at, "job", n.job + " " + n.what})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.at.Compare(b.at) })
	var table strings.Builder
	for _, r := range rows {
		if after := r.at.Sub(s.told); after > -time.Second {
			fmt.Fprintf(&table, "%8.1f s  %-8s  %s\n", after.Seconds(), r.who, r.what)
		}
	}
	s.t.Logf("\n%s", &table)
}

// noise is what says no more than the row it stands in.
var noise = regexp.MustCompile(`^\d{4}-\S+ |\bpid=\S+ |\btid=\S+ `)

// short is a line as it fits into a table. Of a line of ebb's log that is what
// happened, to which job or with what left.
func short(line string) string {
	var log struct {
		Msg, JID string
		KillIn   time.Duration `json:"kill_in"`
	}
	if json.Unmarshal([]byte(line), &log) == nil {
		line = strings.TrimSpace(log.Msg + " " + log.JID)
		if log.KillIn > 0 {
			line += fmt.Sprintf(", KILL in %v", log.KillIn.Round(100*time.Millisecond))
		}
	}
	line = noise.ReplaceAllString(line, "")
	return line[:min(len(line), 110)]
}

// waiting counts the jobs that a store without processes can still run.
func (s *site) waiting() (n int) {
	s.t.Helper()
	for _, length := range []string{s.redis.Do("LLEN", "queue:default"), s.redis.Do("ZCARD", "retry"), s.redis.Do("ZCARD", "schedule")} {
		jobs, err := strconv.Atoi(length)
		if err != nil {
			s.t.Fatal(err)
		}
		n += jobs
	}
	return n
}

// lost counts the jobs of so many that are neither done nor anywhere.
func (s *site) lost(pushed int) int {
	s.t.Helper()
	return pushed - s.count("ended") - s.waiting()
}

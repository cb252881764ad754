package sqlitestore

import (
	"context"
	"database/sql/driver"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestPlans compares how SQLite carries out every statement with a golden file. A
// partial index is used only by a query that repeats its condition literally, and
// a lost index is a scan of all jobs.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{})
	queries := append([]string{}, statements...)
	queries = append(queries, readyIn, soonest, listProcesses, listHeld, listQueues, listBooks, countHeld, listStops, readStop, listChanges, bootName,
		listPoints, listMarks, listEnded, listEndedOf)
	for _, q := range []store.Query{
		{Place: store.Ready, Queue: "q"}, {Place: store.Ready, Queue: "q", JID: "j"},
		{Place: store.Scheduled}, {Place: store.Scheduled, Queue: "q"}, {Place: store.Scheduled, JID: "j"},
		{Place: store.Retrying}, {Place: store.Keeping}, {Place: store.Dead},
	} {
		for _, q.Newest = range []bool{false, true} {
			same, next := walkQueries(q)
			queries = append(queries, same, next, skipQuery(next, q.Place))
		}
	}
	var got strings.Builder
	for _, query := range queries {
		plan := planOf(t, s, query)
		if plan == "" {
			continue
		}
		fmt.Fprintf(&got, "%s\n%s\n", strings.Join(strings.Fields(query), " "), plan)
		for line := range strings.SplitSeq(plan, "\n") {
			// Small tables may be scanned, and jobs in the order of an index.
			if (strings.Contains(line, "SCAN ebb_job") || line == "\tSCAN j") && !strings.Contains(line, "INDEX") {
				t.Errorf("reads every job:\n%s\n%s", query, plan)
			}
		}
	}
	golden := filepath.Join("testdata", "plans.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("plans have changed; look at each and run with -update (-want +got):\n%s", diff)
	}
}

func planOf(t *testing.T, s *Store, query string) string {
	t.Helper()
	raw, err := s.opts.connect(s.path, reading).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	p, err := raw.Prepare("EXPLAIN QUERY PLAN " + query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer p.Close()
	args := make([]driver.NamedValue, strings.Count(query, "?"))
	for i := range args {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: int64(0)}
	}
	rows, err := p.(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var plan strings.Builder
	for row := make([]driver.Value, 4); rows.Next(row) == nil; {
		fmt.Fprintf(&plan, "\t%s\n", row[3])
	}
	return plan.String()
}

package sqlitestore

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// TestWalkPages: each job is seen once and in its order, wherever pages end: among
// jobs of one hour, or early since payloads are large.
func TestWalkPages(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		n    int
		size int
		at   func(i int) int64
	}{
		"all of one hour": {2*page + 300, 10, func(int) int64 { return 0 }},
		"few of an hour":  {page + 300, 10, func(i int) int64 { return int64(i / 3) }},
		"large payloads":  {40, pageBytes / 4, func(i int) int64 { return int64(i / 7) }},
		"one huge":        {3, 2 * pageBytes, func(i int) int64 { return 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openFile(t, filepath.Join(t.TempDir(), "ebb.db"), Options{MayLoseLastMoments: true})
			items := make([]store.Item, tt.n)
			var want []string
			for i := range items {
				items[i] = testItem(fmt.Sprint(i))
				items[i].Payload = fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", tt.size))
				items[i].At = time.Unix(4_000_000_000+tt.at(i), 0)
				want = append(want, string(items[i].Payload))
			}
			for part := range slices.Chunk(items, store.MaxBatch) {
				if _, err := s.Schedule(t.Context(), store.Call{}, part...); err != nil {
					t.Fatal(err)
				}
			}
			for _, newest := range []bool{false, true} {
				for _, limit := range []int{0, 1, firstPage, tt.n - 1, tt.n, tt.n + 1} {
					var got []string
					for e, err := range s.Jobs(t.Context(), store.Query{Place: store.Scheduled, Newest: newest, Limit: limit}) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, string(e.Payload))
					}
					want := want
					if limit > 0 && limit < tt.n {
						want = want[:limit]
					}
					if !slices.Equal(got, want) {
						t.Fatalf("newest %v, limit %d: %d jobs, want %d", newest, limit, len(got), len(want))
					}
				}
				slices.Reverse(want)
			}
		})
	}
}

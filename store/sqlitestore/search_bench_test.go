//go:build unix

package sqlitestore

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// failure is a job that failed, of some 400 bytes.
const failure = `{"class":"InvoiceJob","args":[%d,{"user":%d,"locale":"de"}],"retry":25,"queue":"mailers","jid":"%024x","created_at":1795289561.689562,` +
	`"enqueued_at":1795289561.689788,"retry_count":3,"failed_at":1795289562.5,"retried_at":1795289963.5,"error_class":"CardError","error_message":"declined: order %d",` +
	`"tags":["eu"],"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`

// BenchmarkSearch looks through a million jobs for the last 1 %, beside what merely
// reading their rows takes.
func BenchmarkSearch(b *testing.B) {
	const jobs = 1_000_000
	s := openFile(b, filepath.Join(b.TempDir(), "ebb.db"), Options{})
	due := time.Now().Add(time.Hour)
	for from := 0; from < jobs; from += store.MaxBatch {
		var items []store.Item
		for i := from; i < min(from+store.MaxBatch, jobs); i++ {
			payload := fmt.Sprintf(failure, i, i, i, i)
			if i >= jobs-jobs/100 {
				payload = strings.Replace(payload, "CardError", "NeedleError", 1)
			}
			items = append(items, store.Item{JID: fmt.Sprintf("%024x", i), Queue: "mailers", Kind: "InvoiceJob", Payload: []byte(payload), At: due.Add(time.Duration(i) * time.Second)})
		}
		if _, err := s.Schedule(b.Context(), store.Call{}, items...); err != nil {
			b.Fatal(err)
		}
	}
	q, err := query.Parse("error:Needle", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func() int{
		"floor": func() (n int) {
			err := s.rows(b.Context(), "SELECT id, at, seq, queue, payload FROM ebb_job WHERE state = 1 ORDER BY at, id", func([]row) bool {
				n++
				return true
			})
			if err != nil {
				b.Fatal(err)
			}
			return n
		},
		"walk": func() (n int) {
			for _, err := range s.Jobs(b.Context(), store.Query{Place: store.Scheduled}) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			return n
		},
		"search": func() (n int) {
			for _, err := range q.Find(b.Context(), s, query.Search{Looked: func(int64, int64) {}}) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			return n * 100
		},
	} {
		b.Run(name, func(b *testing.B) {
			before := cpuTime()
			for b.Loop() {
				if n := read(); n != jobs {
					b.Fatal(n)
				}
			}
			b.ReportMetric((cpuTime()-before).Seconds()*1e6/float64(b.N*jobs), "µs-CPU/job")
		})
	}
}

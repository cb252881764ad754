package redisstore_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/redisstore"
)

// later puts payloads into the scheduled set.
func later(due float64, kind string) func(payloads []string) []string {
	return func(payloads []string) []string {
		command := []string{"ZADD", "schedule"}
		for i, p := range payloads {
			command = append(command, strconv.FormatFloat(due+float64(i), 'f', 6, 64), strings.Replace(p, "BenchJob", kind, 1))
		}
		return command
	}
}

// 1,000 jobs of 1,000,000 become due; the server's work is with that of putting them
// there.
func BenchmarkPromote(b *testing.B) {
	const due = 1000
	server, _ := benchStore(b)
	fill(b, server, 1_000_000, later(4e9, "Far"))
	for _, ruby := range []bool{false, true} {
		b.Run("ruby="+strconv.FormatBool(ruby), func(b *testing.B) {
			if ruby {
				rubyIsThere(server)
			}
			s, err := redisstore.Open(b.Context(), server.URL())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			id := store.NewIdentity()
			promote := func() {
				moved := 0
				for moved < due {
					n, _, err := s.Promote(b.Context(), store.Promotion{By: id})
					if moved += n; err != nil {
						b.Fatal(moved, err)
					}
				}
			}
			done := serverCPU(b, server, due)
			for b.Loop() {
				b.StopTimer()
				fill(b, server, due, later(1e9, "Due"))
				b.StartTimer()
				promote()
			}
			b.ReportMetric(float64(b.N*due)/b.Elapsed().Seconds(), "jobs/s")
			done()
			s.Promote(b.Context(), store.Promotion{By: id}) // finds nothing, and voids reservations
			server.Do("DEL", "ebb:promoter", "queue:q")
		})
	}
}

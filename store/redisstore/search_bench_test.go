package redisstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// failed is a job that failed, of some 400 bytes.
const failed = `{"class":"InvoiceJob","args":[%d,{"user":%d,"locale":"de"}],"retry":25,"queue":"mailers","jid":"%024x","created_at":1795289561.689562,` +
	`"enqueued_at":1795289561.689788,"retry_count":3,"failed_at":1795289562.5,"retried_at":1795289963.5,"error_class":"CardError","error_message":"declined: order %d",` +
	`"tags":["eu"],"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`

// BenchmarkSearch looks through a million retries for the last 1 %, beside what merely
// reading them by rank takes.
func BenchmarkSearch(b *testing.B) {
	const jobs = 1_000_000
	server, s := benchStore(b)
	for from := 0; from < jobs; from += 1000 {
		command := []string{"ZADD", "retry"}
		for i := from; i < from+1000; i++ {
			payload := fmt.Sprintf(failed, i, i, i, i)
			if i >= jobs-jobs/100 {
				payload = strings.Replace(payload, "CardError", "NeedleError", 1)
			}
			command = append(command, strconv.Itoa(1795289561+i), payload)
		}
		server.Do(command...)
	}
	q, err := query.Parse("error:Needle", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func() int{
		"floor": func() (n int) { return readByRank(b, server, jobs) },
		"walk": func() (n int) {
			for _, err := range s.Jobs(b.Context(), store.Query{Place: store.Retrying}) {
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
			done, before := serverCPU(b, server, jobs), usedCPU()
			for b.Loop() {
				if n := read(); n != jobs {
					b.Fatal(n)
				}
			}
			b.ReportMetric((usedCPU()-before).Seconds()*1e6/float64(b.N*jobs), "client-µs/job")
			done()
		})
	}
}

func usedCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readByRank reads windows of 1,000 one after the other, and does nothing with them.
func readByRank(b *testing.B, server *redistest.Server, jobs int) (n int) {
	client, err := rueidis.NewClient(rueidis.MustParseURL(server.URL()))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for n < jobs {
		scores, err := client.Do(context.Background(), client.B().Zrange().Key("retry").Min(strconv.Itoa(n)).Max(strconv.Itoa(n+999)).Withscores().Build()).AsZScores()
		if err != nil || len(scores) == 0 {
			b.Fatal(err)
		}
		n += len(scores)
	}
	return n
}

package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// A job whose processes vanish one after the other, as a loop sees to it.
func TestLoopBuriesPoison(t *testing.T) {
	t.Parallel()
	stops := map[string]func(*memstore.Store) func(context.Context) iter.Seq2[store.StopReport, error]{
		"proven": func(s *memstore.Store) func(context.Context) iter.Seq2[store.StopReport, error] { return s.Stops },
		"stop reports cannot be read": func(*memstore.Store) func(context.Context) iter.Seq2[store.StopReport, error] {
			return func(context.Context) iter.Seq2[store.StopReport, error] {
				return func(yield func(store.StopReport, error) bool) {
					yield(store.StopReport{}, errors.New("no right to read them"))
				}
			}
		},
	}
	for name, of := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New(memstore.Options{})
				var log bytes.Buffer
				l := &Loop{Keeper: s, Stops: of(s), Log: slog.New(slog.NewTextHandler(&log, nil)), By: "by:1:x", Certain: true}
				if _, err := s.Push(t.Context(), store.Call{}, store.Item{JID: "1", Queue: "q", Kind: "K", Payload: []byte(`{"class":"K","args":["secret"],"jid":"1"}`)}); err != nil {
					t.Fatal(err)
				}
				const crashes = 5
				for n := range crashes {
					time.Sleep(10 * time.Minute) // longer than any delay
					if _, _, err := s.Promote(t.Context(), store.Promotion{By: "by:1:x"}); err != nil {
						t.Fatal(err)
					}
					hold(t, s, store.Identity(fmt.Sprintf("dead:%d:x", n)), "running")
					call := store.Call{By: store.Identity(fmt.Sprintf("dead:%d:x", n)), Lane: store.LaneFetch, Seq: 2}
					if jobs, _, err := s.Fetch(t.Context(), call, store.Plan{Queues: []store.Share{{Queue: "q"}}}, 1, 0); err != nil || len(jobs) != 1 {
						t.Fatalf("before crash %d: fetched %d jobs, %v", n+1, len(jobs), err)
					}
					time.Sleep(ttl)
					if _, err := l.once(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				stats, err := s.Stats(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				buried := strings.Count(log.String(), "job buried: it is poison")
				delayed := strings.Count(log.String(), "job delayed: its process crashed again")
				if name == "proven" && (stats.Dead != 1 || buried != 1 || delayed != crashes-2) {
					t.Errorf("%d dead, the log says that %d are buried and %d delayed:\n%s", stats.Dead, buried, delayed, &log)
				}
				if name != "proven" && (stats.Dead != 0 || stats.Ready+stats.Scheduled != 1 || buried != 0) {
					t.Errorf("%d dead, %d ready, %d scheduled:\n%s", stats.Dead, stats.Ready, stats.Scheduled, &log)
				}
				if strings.Contains(log.String(), "secret") {
					t.Errorf("the log has arguments:\n%s", &log)
				}
				for e, err := range s.Jobs(t.Context(), store.Query{Place: store.Dead}) {
					if err != nil {
						t.Fatal(err)
					}
					if job, err := wire.Parse(e.Payload); err != nil || job.ErrorClass != "poison" || job.History.Crashes != crashes {
						t.Errorf("%v in %s", err, e.Payload)
					}
				}
			})
		})
	}
}

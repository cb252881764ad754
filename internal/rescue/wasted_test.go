package rescue

import (
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

func TestWastedWorkOfTheLost(t *testing.T) {
	t.Parallel()
	beat := time.Unix(1_700_000_000, 0)
	for name, tt := range map[string]struct {
		change func(l *store.Lost, j *wire.Job)
		want   time.Duration
	}{
		"until the last beat":        {func(*store.Lost, *wire.Job) {}, time.Minute},
		"the last beat is not known": {func(l *store.Lost, _ *wire.Job) { l.Beat = time.Time{} }, 0},
		"not begun by then":          {func(l *store.Lost, _ *wire.Job) { l.Last.Busy = nil }, 0},
		"another queue":              {func(l *store.Lost, _ *wire.Job) { l.Last.Busy[0].Queue = "r" }, 0},
		"clocks that differ":         {func(l *store.Lost, _ *wire.Job) { l.Last.Busy[0].Since = beat.Add(time.Hour) }, 0},
		"saved nobody knows when":    {func(_ *store.Lost, j *wire.Job) { j.History.Checkpoint = []byte("1") }, 0},
		"left, and said so itself":   {func(l *store.Lost, _ *wire.Job) { l.Cause = store.Left }, 0},
	} {
		l := store.Lost{ID: "dead:1:x", Cause: store.Lapsed, Beat: beat, Now: beat.Add(12 * time.Second), Last: store.Presence{
			Busy: []store.Run{{JID: "1", Queue: "q", Since: beat.Add(-time.Minute)}, {JID: "1", Queue: "q"}},
		}}
		job, err := wire.Parse([]byte(`{"class":"K","args":[],"jid":"1"}`))
		if err != nil {
			t.Fatal(err)
		}
		tt.change(&l, job)
		l.Jobs = []store.Held{{Token: "1", Queue: "q", Payload: job.WithHistory(job.History)}}
		j := Judge{By: "by:1:x"}
		if got := j.Salvage(l).Report.Jobs[0].Wasted; got != tt.want {
			t.Errorf("%s: %v wasted, want %v", name, got, tt.want)
		}
	}
}

package runner

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store/storetest"
	"github.com/ebbjobs/ebb/wire"
)

func TestTheLeaseOutlivesTheLastVerdict(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var runs atomic.Int32
		o := w.options(map[string]func(context.Context, *wire.Job) error{"Job": func(context.Context, *wire.Job) error {
			runs.Add(1)
			return nil
		}})
		o.Stop = lifecycle.Config{Grace: time.Minute}
		w.flaky.Each(func(method string) storetest.Fault {
			if method == "Ack" {
				return storetest.Fault{Err: errAway}
			}
			return storetest.Fault{}
		})
		stopping := w.start(o)
		w.push("Job")
		time.Sleep(time.Second)
		rescuer := w.options(map[string]func(context.Context, *wire.Job) error{"Job": o.Handlers["Job"].Run})
		rescuer.Store = w.mem // to which nothing is wrong
		other := w.start(rescuer)
		stopping.stop()
		time.Sleep(2 * testTTL)
		w.flaky.Heal()
		stopping.end()
		other.end()
		if n := runs.Load(); n != 1 {
			t.Errorf("the job ran %d times", n)
		}
	})
}

package rescue

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store/memstore"
)

// Whoever is suspected is looked for when its lease ends, however the regular looks
// fall.
func TestRescueAtTheMomentThatWasSaid(t *testing.T) {
	t.Parallel()
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			s := memstore.New(memstore.Options{})
			hold(t, s, "dead:1:x", "running", `{"class":"K","args":[],"jid":"1"}`)
			looks := make(chan time.Duration, 1)
			l := &Loop{
				Keeper: s, Stops: s.Stops, Log: slog.New(slog.DiscardHandler), By: "by:1:x", Look: looks,
				Steady: func() bool { return true }, Note: func(time.Time, error) {},
			}
			go l.Run(t.Context())
			time.Sleep(3 * time.Second)
			const left = 1500 * time.Millisecond
			if err := s.Suspect(t.Context(), "dead:1:x", left); err != nil {
				t.Fatal(err)
			}
			looks <- time.Hour // was said before, of somebody else
			synctest.Wait()
			looks <- left + time.Millisecond
			time.Sleep(left)
			if n := len(ready(t, s)); n > 0 {
				t.Error("rescued while the lease went on")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if n := len(ready(t, s)); n != 1 {
				t.Errorf("%d jobs rescued when the lease had ended", n)
			}
		})
	}
}

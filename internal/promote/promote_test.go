package promote

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// keeper answers one promotion after the other, and notes when each came.
type keeper struct {
	store.Keeper
	mu      sync.Mutex
	answers []answer
	began   time.Time
	calls   []time.Duration
}

type answer struct {
	next time.Duration
	err  error
}

func (k *keeper) Promote(context.Context, store.Promotion) (int, time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, time.Since(k.began))
	if len(k.answers) == 0 {
		return 0, time.Hour, nil
	}
	a := k.answers[0]
	k.answers = k.answers[1:]
	return 0, a.next, a.err
}

func TestLoopComesWhenItIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errAway := errors.New("away")
		k := &keeper{began: time.Now(), answers: []answer{{next: 0}, {next: 50 * time.Millisecond}, {next: time.Minute, err: errAway}, {next: -1}}}
		var failed []error
		l := &Loop{Keeper: k, Note: func(_ time.Time, err error) {
			if err != nil {
				failed = append(failed, err)
			}
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		l.Run(ctx)
		want := []time.Duration{
			0,
			soonest,                                 // more was due
			soonest + 50*time.Millisecond,           // as told
			soonest + 50*time.Millisecond + pause,   // after an error
			2*soonest + 50*time.Millisecond + pause, // nonsense is at once
			2*soonest + 50*time.Millisecond + pause + latest, // an hour is too long to trust
		}
		if !slices.Equal(k.calls, want) {
			t.Errorf("called at %v, want %v", k.calls, want)
		}
		if !slices.Equal(failed, []error{errAway}) {
			t.Errorf("noted %v", failed)
		}
	})
}

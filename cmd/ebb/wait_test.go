package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func TestParseCondition(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, words, hint string }{
		{"idle", "idle", ""},
		{" Idle ", "idle", ""},
		{"queue mailers empty", "queue mailers to be empty", ""},
		{"job  0199aa done", "job 0199aa to be done", ""},
		{"", "", "--for idle, --for 'queue NAME empty' or --for 'job JID done'"},
		{"idel", "", "did you mean 'idle'?"},
		{"queue", "", "did you mean 'queue NAME empty'?"},
		{"queue mailers", "", "did you mean 'queue mailers empty'?"},
		{"queues mailers empty", "", "did you mean 'queue mailers empty'?"},
		{"job 0199aa ended", "", "did you mean 'job 0199aa done'?"},
		{"world peace", "", "it is idle, 'queue NAME empty' or 'job JID done'"},
	} {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			c, err := parseCondition(test.text)
			if c.words != test.words || store.Hint(err) != test.hint || (err == nil) != (test.hint == "") {
				t.Errorf("got %q, %v, hint %q", c.words, err, store.Hint(err))
			}
			if err != nil && exitOf(err) != exitUsage {
				t.Errorf("exit %d", exitOf(err))
			}
		})
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	away := errors.Join(store.ErrUnreachable)
	for _, test := range []struct {
		name    string
		timeout time.Duration
		answer  func(since time.Duration) (bool, error)
		want    error
		took    time.Duration
	}{
		{"so already", 0, func(time.Duration) (bool, error) { return true, nil }, nil, 0},
		{"so later", 0, func(d time.Duration) (bool, error) { return d >= time.Minute, nil }, nil, time.Minute},
		{"never", time.Hour, func(time.Duration) (bool, error) { return false, nil }, errTimeUp, time.Hour},
		{"so at the last moment", 10 * time.Second, func(d time.Duration) (bool, error) { return d >= 10*time.Second, nil }, nil, 10 * time.Second},
		{"no store from the beginning", time.Hour, func(time.Duration) (bool, error) { return false, away }, away, 0},
		{"the store is away for a while", time.Hour, func(d time.Duration) (bool, error) {
			if d > time.Minute && d < time.Minute+10*time.Second {
				return false, away
			}
			return d > 2*time.Minute, nil
		}, nil, 2 * time.Minute},
		{"the store does not come back", time.Hour, func(d time.Duration) (bool, error) {
			if d > time.Minute {
				return false, away
			}
			return false, nil
		}, away, time.Minute + pollOutage},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := poll(t.Context(), test.timeout, func(context.Context) (bool, error) { return test.answer(time.Since(began)) })
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if took := time.Since(began); took < test.took || took > test.took+2*pollMost {
					t.Errorf("took %v, want %v", took, test.took)
				}
			})
		})
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { end(errInterrupted) })
		if err := poll(ctx, 0, func(context.Context) (bool, error) { return false, nil }); !errors.Is(err, errInterrupted) {
			t.Errorf("got %v", err)
		}
	})
}

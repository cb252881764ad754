package runner

import (
	"testing"

	"github.com/ebbjobs/ebb/store"
)

// What a beat calls unknown is given back once no fetch can bring it any more, and
// not before: it would run beside itself.
func TestStrays(t *testing.T) {
	t.Parallel()
	job := []store.Held{{Token: "t"}}
	for _, tt := range []struct {
		name  string
		steps func(k *keeping) (oldest uint64) // up to the beat that is asked about
		back  int
	}{
		{"unknown to one beat", func(k *keeping) uint64 { return k.oldest() }, 0},
		{"unknown to two", func(k *keeping) uint64 {
			k.strays(job, k.oldest())
			return k.oldest()
		}, 1},
		{"a fetch began when the beat was under way", func(k *keeping) uint64 {
			oldest := k.oldest()
			k.asking(1)
			return oldest
		}, 0},
		{"its fetch has no answer yet", func(k *keeping) uint64 {
			k.asking(1)
			k.strays(job, k.oldest())
			return k.oldest()
		}, 0},
		{"its fetch is repeated", func(k *keeping) uint64 {
			k.asking(1)
			k.strays(job, k.oldest())
			k.asking(1)
			return k.oldest()
		}, 0},
		{"its fetch is answered when the beat is under way", func(k *keeping) uint64 {
			k.asking(1)
			k.strays(job, k.oldest())
			oldest := k.oldest()
			k.answered(1, []*Attempt{{token: "t"}})
			return oldest
		}, 0},
		{"its fetch was given up", func(k *keeping) uint64 {
			k.asking(1)
			k.strays(job, k.oldest())
			k.answered(1, nil)
			return k.oldest()
		}, 1},
		{"only a later fetch is open", func(k *keeping) uint64 {
			k.asking(1)
			k.strays(job, k.oldest())
			k.answered(1, nil)
			k.asking(1)
			return k.oldest()
		}, 1},
		{"known to the beat between", func(k *keeping) uint64 {
			k.strays(job, k.oldest())
			k.strays(nil, k.oldest())
			return k.oldest()
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKeeping()
			if back := k.strays(job, tt.steps(k)); len(back) != tt.back {
				t.Errorf("%d are given back, want %d", len(back), tt.back)
			}
		})
	}
}

func TestIdleness(t *testing.T) {
	t.Parallel()
	k := newKeeping()
	if !k.idle() {
		t.Error("not idle at first")
	}
	k.asking(1)
	if k.idle() {
		t.Error("idle while a fetch may bring something")
	}
	k.answered(1, []*Attempt{{token: "t"}})
	if k.idle() {
		t.Error("idle while a job runs")
	}
	k.ended(1)
	if !k.idle() {
		t.Error("not idle when all has ended")
	}
}

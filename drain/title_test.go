package drain

import (
	"testing"
	"testing/synctest"
	"time"
)

// A worker of ebb's has a title like Sidekiq's, and brings it up to date more often.
func TestTitleOfEbb(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sidekiq 8.1.7 ebb [2 of 10 busy]":             "ebb worker (pid 7)",
		"sidekiq 8.1.7 ebb my shop [0 of 10 busy]":     "ebb worker (pid 7)",
		"sidekiq 8.1.7 ebbtide [0 of 10 busy]":         "sidekiq 8.1.7 ebbtide (pid 7)",
		"sidekiq 8.1.7 shop ebb [0 of 10 busy] leader": "sidekiq 8.1.7 shop ebb (pid 7)",
	} {
		root := system(proc{pid: 7, line: text, catches: tstp | term})
		found, err := Search{Root: root}.Find(t.Context())
		if err != nil || len(found) != 1 || found[0].Name() != want {
			t.Errorf("%q: %v, %v", text, found, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		root := system(proc{pid: 7, line: "sidekiq 8.1.7 ebb [0 of 10 busy] stopping"})
		found, err := readProcess(root, 7)
		if err != nil {
			t.Fatal(err)
		}
		s := newSignalled(root, found, nil)
		first, err1 := s.State(t.Context())
		time.Sleep(time.Second)
		second, err2 := s.State(t.Context())
		if err1 != nil || err2 != nil || first.Beat == second.Beat || !second.Quiet || second.Busy != 0 {
			t.Errorf("%+v, %v, then %+v, %v", first, err1, second, err2)
		}
	})
}

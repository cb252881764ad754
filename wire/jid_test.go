package wire

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNewJIDSortsByTime(t *testing.T) {
	// Not parallel: the order holds within a process, so others must not set its
	// clock back meanwhile.
	now := time.UnixMilli(1795289561689)
	shape := regexp.MustCompile(`^[0-9a-f]{24}$`)
	var list []string
	for i := range 20_000 {
		switch {
		case i == 5_000: // the clock stands still before, and is corrected a bit here
			now = now.Add(-300 * time.Millisecond)
		case i > 10_000 && i%100 == 0:
			now = now.Add(time.Millisecond)
		}
		list = append(list, NewJID(now))
	}
	if !slices.IsSorted(list) {
		t.Error("jids made in order do not sort in order")
	}
	if compact := slices.Compact(slices.Clone(list)); len(compact) != len(list) {
		t.Errorf("%d of %d jids are not unique", len(list)-len(compact), len(list))
	}
	if i := slices.IndexFunc(list, func(jid string) bool { return !shape.MatchString(jid) }); i >= 0 {
		t.Errorf("jid %q is not 24 hex digits", list[i])
	}
	if ms, err := strconv.ParseInt(list[0][:12], 16, 64); err != nil || ms != 1795289561689 {
		t.Errorf("jid %s begins with %d ms", list[0], ms)
	}
}

func TestNewJIDFollowsAClockThatIsSet(t *testing.T) {
	NewJID(time.UnixMilli(1795289561689))
	if jid := NewJID(time.UnixMilli(946684800000)); !strings.HasPrefix(jid, "00dc6acfac00") {
		t.Errorf("after the clock was set to 2000-01-01 a jid is %s", jid)
	}
	if jid := NewJID(time.Time{}); !strings.HasPrefix(jid, "000000000000") {
		t.Errorf("before the epoch a jid is %s", jid)
	}
}

func TestNewJIDIsUniqueAcrossGoroutines(t *testing.T) {
	now := time.UnixMilli(1795289561689)
	lists := make([][]string, 8)
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() {
			for range 5_000 {
				lists[i] = append(lists[i], NewJID(now))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(lists...)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 40_000 {
		t.Errorf("%d different jids, want 40000", n)
	}
}

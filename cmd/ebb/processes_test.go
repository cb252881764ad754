package main

import (
	"testing"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func TestMatchID(t *testing.T) {
	t.Parallel()
	ids := []string{"web-1:7:0123456789ab", "web-1:7:ffff56789abc", "web-10:7:aaaa56789abc", "db:12:bbbb56789abc", "odd"}
	for _, test := range []struct {
		arg, want string
		exit      int
		hint      string
	}{
		{"web-1:7:0123456789ab", "web-1:7:0123456789ab", 0, ""},
		{"web-10:7", "web-10:7:aaaa56789abc", 0, ""},
		{"web-10", "web-10:7:aaaa56789abc", 0, ""},
		{"bbbb", "db:12:bbbb56789abc", 0, ""},
		{"odd", "odd", 0, ""},
		{"web-1:7", "", exitUsage, "write more of the one that is meant"}, // and not web-10:7
		{"web", "", exitUsage, "write more of the one that is meant"},
		{"wbe-10", "", exitNothing, "did you mean web-10?"},
		{"mail", "", exitNothing, "look"},
	} {
		t.Run(test.arg, func(t *testing.T) {
			t.Parallel()
			got, err := matchID("process", ids, test.arg, "look")
			if got != test.want || exitOf(err) != test.exit || store.Hint(err) != test.hint {
				t.Errorf("got %q, exit %d, hint %q; want %q, %d, %q", got, exitOf(err), store.Hint(err), test.want, test.exit, test.hint)
			}
		})
	}
}

func TestShortID(t *testing.T) {
	t.Parallel()
	for id, want := range map[store.Identity]string{
		"web-1:7:0123456789ab": "web-1:7", "web-1:7": "web-1:7", "web-1": "web-1", "": "", "a:b:c": "a:b:c", "fe80::1:7:0123": "fe80::1:7:0123",
	} {
		if got := fleet.Short(id); got != want {
			t.Errorf("%q becomes %q, want %q", id, got, want)
		}
	}
}

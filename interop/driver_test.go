package interop

import (
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
)

func TestDriver(t *testing.T) {
	t.Parallel()
	one, two := redistest.Start(t), redistest.Start(t)
	rubyEval(t, one, `DriverSeen = 41; puts "printed"; Sidekiq.redis { |c| c.set("k", "one") }`)
	if got := rubyInto[int](t, two, `Sidekiq.redis { |c| c.set("k", "two") }; DriverSeen + 1`); got != 42 {
		t.Errorf("a constant was forgotten: %d", got)
	}
	if got := one.Do("GET", "k") + two.Do("GET", "k"); got != "onetwo" {
		t.Errorf("programs reached the wrong servers: %s", got)
	}
	if _, err := driver.eval(one.URL(), `raise "no"`); err == nil {
		t.Error("an exception went unnoticed")
	}
}

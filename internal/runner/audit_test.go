package runner

import (
	"testing"
	"time"
)

// Every process looks, now and then, for jobs that nobody holds.
func TestRunnerAudits(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		p := w.run(nil)
		time.Sleep(testTTL / 2)
		if n := w.flaky.Calls("Audit"); n > 0 {
			t.Errorf("%d audits before whoever lives had time for a beat", n)
		}
		time.Sleep(3 * time.Minute)
		if n := w.flaky.Calls("Audit"); n < 2 || n > 5 {
			t.Errorf("%d audits in three minutes", n)
		}
		p.end()
	})
}

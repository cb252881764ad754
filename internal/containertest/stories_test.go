//go:build containers

package containertest

import (
	"testing"
	"time"
)

// A worker behind a shell, and a docker stop: the shell is PID 1, hears the TERM and
// does nothing. This is how jobs are lost, and what takes one word to mend.
func TestDockerStopBehindAShell(t *testing.T) {
	t.Parallel()
	shell := []string{"sh", "-c", sidekiq(3) + "; echo over"}
	for _, tt := range []struct {
		name    string
		command []string
		lost    int
		code    int
	}{
		{"plain", shell, 1, 137},
		{"behind ebb", append([]string{"/ebb", "init", "--"}, shell...), 0, 143},
		{"behind ebb-init", append([]string{"/ebb-init", "--"}, shell...), 0, 143},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := rubySite(t)
			s.push("long", 60)
			c := start(t, s.dir, s.userland(), tt.command...)
			s.await("begun", 1)
			s.notice("platform", "docker stop: TERM to PID 1, KILL in 10 s")
			took, code := c.stop(10 * time.Second)
			s.add("platform", "over: exit %d", code)
			s.print(c.logs)
			if lost := s.lost(1); lost != tt.lost || code != tt.code {
				t.Errorf("%d lost, exit %d after %v; want %d, exit %d", lost, code, took, tt.lost, tt.code)
			}
			if tt.lost == 0 && took >= 10*time.Second {
				t.Errorf("KILL was needed: it took %v", took)
			}
		})
	}
}

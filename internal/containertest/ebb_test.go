//go:build containers

package containertest

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// count is a job in shell that keeps a checkpoint: it counts tenths of seconds.
const count = `
note() { : > "notes/$EBB_JID.$1.$EBB_INTERRUPTIONS"; }
trap 'note saved; exit 143' TERM
case "$EBB_KIND" in Short) last=80 ;; *) last=100000 ;; esac
n=0
if [ -s "$EBB_CHECKPOINT" ]; then n=$(cat "$EBB_CHECKPOINT"); fi
note begun
while [ "$n" -lt "$last" ]; do
  sleep 0.1
  n=$((n + 1))
  echo "$n" > "$EBB_CHECKPOINT.new" && mv "$EBB_CHECKPOINT.new" "$EBB_CHECKPOINT"
done
note ended
`

// ebbSite is where ebb works itself: jobs of 8 s, kind Short, and others without an
// end, kind Long.
func ebbSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.write("count.sh", count)
	s.write("ebb.yml", fmt.Sprintf("store: %s\nhandlers:\n  Short: {command: [/bin/sh, count.sh]}\n  Long: {command: [/bin/sh, count.sh]}\n", s.redis.URL()))
	return s
}

// ebb runs ebb beside the containers, on the same store.
func (s *site) ebb(args ...string) []byte {
	s.t.Helper()
	if _, err := image(); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(host.dir, "image", "ebb"), append(args, "--store", s.redis.URL())...)
	cmd.Dir = s.t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("ebb %q: %v\n%s", args, err, out)
	}
	return out
}

// enqueue puts jobs of a kind.
func (s *site) enqueue(kind string, n int) {
	s.t.Helper()
	for range n {
		s.ebb("enqueue", kind)
	}
}

// stopped is what ebb says of the one stop that there was.
type stopped struct {
	Touched int            `json:"touched"`
	Lost    int            `json:"lost"`
	Fates   map[string]int `json:"fates"`
}

func (s *site) stopReport() stopped {
	s.t.Helper()
	var reports []stopped
	if err := json.Unmarshal(s.ebb("stops", "ls", "-o", "json"), &reports); err != nil {
		s.t.Fatal(err)
	}
	if len(reports) != 1 {
		s.t.Fatalf("%d stop reports", len(reports))
	}
	return reports[0]
}

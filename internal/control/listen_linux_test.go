package control

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenFallsBackToAnAbstractName(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(folder(t), strings.Repeat("d", 100))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	// Not this process's number, which other tests may use.
	pid := os.Getpid() + 1<<22
	first, err := Listen(pid, []string{"/nonexistent", deep})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	if want := fmt.Sprintf("@ebb-%d", pid); first.Path() != want {
		t.Errorf("path %s, want %s", first.Path(), want)
	}
	second, err := Listen(pid, nil) // a container beside it, on the same network
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close() })
	if !strings.HasPrefix(second.Path(), first.Path()+"-") {
		t.Errorf("second path %s", second.Path())
	}

	run(t, first, newFake(t))
	if _, err := connect(t, first).Status(t.Context()); err != nil {
		t.Errorf("status by an abstract name: %v", err)
	}
	if left, _ := os.ReadDir(deep); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPeerUID(t *testing.T) {
	t.Parallel()
	s := listen(t, folder(t))
	c := connect(t, s)
	uid, known, err := peerUID(c.conn)
	if uid != os.Getuid() || !known || err != nil {
		t.Errorf("user %d, known %v, %v", uid, known, err)
	}
}

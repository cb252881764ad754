package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// File systems by what they are good for. SQLite's WAL needs memory that all
// processes share, so one kernel, and locks that work.
var (
	localFS  = []string{"ext4", "xfs", "btrfs", "zfs", "f2fs", "apfs", "ufs"}
	frailFS  = []string{"overlay", "tmpfs"} // local, but gone with the container or the boot
	remoteFS = []string{"nfs", "cifs", "smb2", "9p", "fuse", "ceph", "vboxsf", "lustre", "gpfs", "afs", "virtiofs"}
)

// inspectFS refuses what is not known to keep locks and memory shared, and warns
// of what forgets.
func (o Options) inspectFS(dir string) (warnings []string, err error) {
	find := fsType
	if o.fsType != nil {
		find = o.fsType
	}
	kind, err := find(dir)
	if err != nil {
		return nil, explainFile(err)
	}
	switch {
	case slices.Contains(localFS, kind):
		return nil, nil
	case slices.Contains(frailFS, kind):
		return []string{fmt.Sprintf("the store lies on %s: it is gone with the container or the next boot, and other containers do not see it; put it on a volume", kind)}, nil
	case o.AnyFS:
		return []string{fmt.Sprintf("the store lies on %s, which is not known to be safe for SQLite", kind)}, nil
	}
	what := "not known to be local"
	if slices.Contains(remoteFS, kind) {
		what = "a network or shared file system, where SQLite's locks and shared memory do not work"
	}
	return nil, store.WithHint(fmt.Errorf("%w: %s is on %s, %s", store.ErrUnreachable, dir, kind, what),
		"put the file on a local disk, or use Redis to share jobs between machines; ?anyfs=1 opens it all the same")
}

// reserveSize is the room kept for verdicts, enough for thousands of them.
const reserveSize = 4 << 20

// reserve is a file that holds room on the disk. When the disk is full it is
// deleted, and while it is absent no process accepts new jobs: what is left is
// for the verdicts on those that were accepted.
type reserve struct {
	path string
	free func(dir string) (int64, error)

	mu     sync.Mutex
	looked time.Time
}

func (o Options) space() func(string) (int64, error) {
	if o.freeSpace != nil {
		return o.freeSpace
	}
	return freeSpace
}

// isSpent reports whether the reserve is gone. Once a second at most it tries to
// put it back.
func (r *reserve) isSpent() bool {
	if _, err := os.Stat(r.path); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	r.mu.Lock()
	due := time.Since(r.looked) >= time.Second
	if due {
		r.looked = time.Now()
	}
	r.mu.Unlock()
	return !due || !r.fill()
}

// spend frees the room, and reports whether there was any.
func (r *reserve) spend() bool {
	r.mu.Lock()
	r.looked = time.Now()
	r.mu.Unlock()
	return os.Remove(r.path) == nil
}

// fill makes the reserve if it is not there and there is room for it and as much
// again, and reports whether it is there.
func (r *reserve) fill() bool {
	if info, err := os.Stat(r.path); err == nil && info.Size() == reserveSize {
		return true
	}
	if free, err := r.free(r.path); err == nil && free < 2*reserveSize {
		return false
	}
	temp, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+"-*")
	if err != nil {
		return false
	}
	defer os.Remove(temp.Name()) // gone already if it was renamed
	if err = allocate(temp, reserveSize); err != nil {
		err = writeNoise(temp, reserveSize)
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return false
	}
	return os.Rename(temp.Name(), r.path) == nil
}

// writeNoise takes room where it cannot be allocated. Random bytes, since some
// file systems store no zeros.
func writeNoise(f *os.File, n int) (err error) {
	noise := rand.NewChaCha8([32]byte{})
	block := make([]byte, 1<<16)
	for written := 0; written < n && err == nil; written += len(block) {
		noise.Read(block)
		_, err = f.Write(block)
	}
	return err
}

// refusal is the answer to a push while the reserve is spent.
func (r *reserve) refusal() error {
	return store.WithHint(fmt.Errorf("%w: the disk had no room left, and %s could not be put back yet", store.ErrFull, r.path), hintFull)
}

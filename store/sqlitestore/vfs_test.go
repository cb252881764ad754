package sqlitestore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// vfsName is SQLite's own VFS with a disk in between that tests control.
const vfsName = "ebbtest"

// disk is what happens to the files below a folder. Files of folders that no disk
// is registered for pass through.
type disk struct {
	dir string

	mu       sync.Mutex
	capacity int64 // of all files together; 0: no limit
	events   []event
	record   bool
	reached  int // writes and syncs so far
	last     int // the one in the midst of which this process is killed; 0: none
}

// event is one thing that reached the disk, in order, or a call of a life.
type event struct {
	kind eventKind
	file string // base name
	off  int64  // or the new size
	data []byte

	life, call int
}

type eventKind int

const (
	wrote eventKind = iota
	truncated
	synced
	removed
	begun
	answered
)

func (d *disk) add(e event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.record {
		d.events = append(d.events, e)
	}
}

// used is the room that all files take.
func (d *disk) used() (n int64) {
	filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.HasSuffix(path, "-shm") {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// grow reports whether a file may grow by n.
func (d *disk) grow(n int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.capacity == 0 || d.used()+n <= d.capacity
}

// reach counts a write or a sync, and reports whether it is the last one.
func (d *disk) reach() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached++
	return d.reached == d.last
}

// die is the end of this process by a KILL.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		self.Kill()
	}
	select {}
}

func (d *disk) limit(capacity int64) {
	d.mu.Lock()
	d.capacity = capacity
	d.mu.Unlock()
}

func (d *disk) free(string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.capacity == 0 {
		return 1 << 40, nil
	}
	return d.capacity - d.used(), nil
}

var vfs struct {
	once           sync.Once
	mu             sync.Mutex
	disks          []*disk
	open           map[uintptr]*vfsFile // by sqlite3_file
	xOpen, xDelete uintptr
}

// vfsFile is an open file of SQLite.
type vfsFile struct {
	path    string
	disk    *disk
	methods *sqlite3.Tsqlite3_io_methods // its own
}

// newDisk puts a disk under dir, for stores opened with the returned Options.
func newDisk(t testing.TB, dir string) (*disk, Options) {
	vfs.once.Do(registerVFS)
	d := &disk{dir: dir}
	vfs.mu.Lock()
	vfs.disks = append(vfs.disks, d)
	vfs.mu.Unlock()
	return d, Options{vfs: vfsName, freeSpace: d.free}
}

// at turns a C pointer into one of Go. The memory is libc's, so it does not move.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// fn turns a top-level function into a C function pointer, and invoke the other way
// round; a C function pointer here is the address of a Go function value.
func fn[F any](f F) uintptr     { return *(*uintptr)(unsafe.Pointer(&f)) }
func invoke[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

type (
	openFn     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	writeFn    = func(tls *libc.TLS, file, data uintptr, n int32, off int64) int32
	truncateFn = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFn     = func(tls *libc.TLS, file uintptr, flags int32) int32
	deleteFn   = func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32
	closeFn    = func(tls *libc.TLS, file uintptr) int32
)

func registerVFS() {
	tls := libc.NewTLS() // lives on with the VFS
	def := sqlite3.Xsqlite3_vfs_find(tls, 0)
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	name, err := libc.CString(vfsName)
	if def == 0 || p == 0 || err != nil {
		panic(errors.Join(errors.New("no VFS to wrap"), err))
	}
	v := at[sqlite3.Tsqlite3_vfs](p)
	*v = *at[sqlite3.Tsqlite3_vfs](def)
	vfs.xOpen, vfs.xDelete, vfs.open = v.FxOpen, v.FxDelete, map[uintptr]*vfsFile{}
	v.FzName, v.FpNext, v.FxOpen, v.FxDelete = name, 0, fn[openFn](vfsOpen), fn[deleteFn](vfsDelete)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, p, 0); rc != sqlite3.SQLITE_OK {
		panic("VFS not registered")
	}
}

func vfsOpen(tls *libc.TLS, v, name, file uintptr, flags int32, out uintptr) int32 {
	rc := invoke[openFn](vfs.xOpen)(tls, v, name, file, flags, out)
	if rc != sqlite3.SQLITE_OK || name == 0 {
		return rc
	}
	f := &vfsFile{path: libc.GoString(name)}
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	if f.disk = diskOf(f.path); f.disk == nil {
		return rc
	}
	handle := at[sqlite3.Tsqlite3_file](file)
	f.methods = at[sqlite3.Tsqlite3_io_methods](handle.FpMethods)
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	ours := at[sqlite3.Tsqlite3_io_methods](p)
	*ours = *f.methods
	ours.FxWrite, ours.FxTruncate = fn[writeFn](vfsWrite), fn[truncateFn](vfsTruncate)
	ours.FxSync, ours.FxClose = fn[syncFn](vfsSync), fn[closeFn](vfsClose)
	handle.FpMethods = p
	vfs.open[file] = f
	return rc
}

// diskOf is called with the lock.
func diskOf(path string) *disk {
	for _, d := range vfs.disks {
		if strings.HasPrefix(path, d.dir+string(os.PathSeparator)) {
			return d
		}
	}
	return nil
}

// vfsDelete takes a deletion for synced: SQLite asks for that where it matters.
func vfsDelete(tls *libc.TLS, v, name uintptr, syncDir int32) int32 {
	rc := invoke[deleteFn](vfs.xDelete)(tls, v, name, syncDir)
	path := libc.GoString(name)
	vfs.mu.Lock()
	d := diskOf(path)
	vfs.mu.Unlock()
	if rc == sqlite3.SQLITE_OK && d != nil {
		d.add(event{file: filepath.Base(path), kind: removed})
	}
	return rc
}

func opened(file uintptr) *vfsFile {
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	return vfs.open[file]
}

func vfsWrite(tls *libc.TLS, file, data uintptr, n int32, off int64) int32 {
	f := opened(file)
	size := int64(0)
	if info, err := os.Stat(f.path); err == nil {
		size = info.Size()
	}
	if grown := off + int64(n) - size; grown > 0 && !f.disk.grow(grown) {
		return sqlite3.SQLITE_FULL // what SQLite's own VFS makes of ENOSPC
	}
	if f.disk.reach() {
		invoke[writeFn](f.methods.FxWrite)(tls, file, data, n/2, off)
		die()
	}
	rc := invoke[writeFn](f.methods.FxWrite)(tls, file, data, n, off)
	if rc == sqlite3.SQLITE_OK && f.disk.record {
		f.disk.add(event{file: filepath.Base(f.path), kind: wrote, off: off, data: bytes.Clone(libc.GoBytes(data, int(n)))})
	}
	return rc
}

func vfsTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f := opened(file)
	rc := invoke[truncateFn](f.methods.FxTruncate)(tls, file, size)
	if rc == sqlite3.SQLITE_OK {
		f.disk.add(event{file: filepath.Base(f.path), kind: truncated, off: size})
	}
	return rc
}

func vfsSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	f := opened(file)
	if f.disk.reach() {
		die()
	}
	rc := invoke[syncFn](f.methods.FxSync)(tls, file, flags)
	if rc == sqlite3.SQLITE_OK {
		f.disk.add(event{file: filepath.Base(f.path), kind: synced})
	}
	return rc
}

func vfsClose(tls *libc.TLS, file uintptr) int32 {
	vfs.mu.Lock()
	f := vfs.open[file]
	delete(vfs.open, file)
	handle := at[sqlite3.Tsqlite3_file](file)
	libc.Xfree(tls, handle.FpMethods)
	handle.FpMethods = address(f.methods)
	vfs.mu.Unlock()
	return invoke[closeFn](f.methods.FxClose)(tls, file)
}

// address is the C address of what at returned.
func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

package sqlitestore

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// magic numbers of statfs(2); those that x/sys does not name are from linux/magic.h
// and the file systems' own headers.
var fsNames = map[uint32]string{
	unix.EXT4_SUPER_MAGIC:      "ext4", // 2 and 3 too
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	0x2fc12fc1:                 "zfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.CIFS_SUPER_MAGIC:      "cifs",
	unix.SMB2_SUPER_MAGIC:      "smb2",
	unix.V9FS_MAGIC:            "9p",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.CEPH_SUPER_MAGIC:      "ceph",
	unix.AFS_SUPER_MAGIC:       "afs",
	0x786f4256:                 "vboxsf",
	0x0bd00bd0:                 "lustre",
	0x47504653:                 "gpfs",
}

func fsType(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", os.NewSyscallError("statfs", err)
	}
	if name, ok := fsNames[uint32(st.Type)]; ok {
		return name, nil
	}
	return fmt.Sprintf("a file system of type 0x%x", uint32(st.Type)), nil
}

// freeSpace is the room for ordinary users on the disk that path lies on.
func freeSpace(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// allocate gives f room on the disk without writing to it. Not every file system
// can.
func allocate(f *os.File, n int64) error {
	return os.NewSyscallError("fallocate", unix.Fallocate(int(f.Fd()), 0, 0, n))
}

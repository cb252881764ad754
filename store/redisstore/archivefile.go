package redisstore

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// A backup is a line that says what it is, a line of JSON, the keys, and a SHA-256 of
// all that. A key is the letter of its type, its name, when it expires in ms since
// 1970 or 0, and its elements up to a 0. Numbers are varints; a name comes after its
// length, an element after its length and one. After the last key there is a dot.
//
// Elements are what the commands of Redis give and take, not what DUMP gives: they
// fit any server of any version.

const magic = "ebb backup of a store on redis\n"

type archiveHead struct {
	Format    int       `json:"format"`
	Layout    string    `json:"layout"`
	Version   int       `json:"version"`
	MinReader int       `json:"min_reader"`
	Made      time.Time `json:"made"`
}

const archiveFormat = 1

var errDamaged = fmt.Errorf("%w: the backup is cut short or damaged", store.ErrCorrupt)

// archiveWriter writes a backup. An error of one of its methods comes with those after
// it and with close.
type archiveWriter struct {
	*bufio.Writer
	to  io.Writer
	sum hash.Hash
}

func newArchiveWriter(w io.Writer, made time.Time) (*archiveWriter, error) {
	sum := sha256.New()
	a := &archiveWriter{bufio.NewWriterSize(io.MultiWriter(w, sum), 256<<10), w, sum}
	head, err := json.Marshal(archiveHead{archiveFormat, "sidekiq", version, minReader, made})
	a.WriteString(magic)
	a.Write(append(head, '\n'))
	return a, err
}

func (a *archiveWriter) number(n uint64) {
	var buf [binary.MaxVarintLen64]byte
	a.Write(buf[:binary.PutUvarint(buf[:], n)])
}

// key begins a key; what follows are its elements and endKey.
func (a *archiveWriter) key(kind byte, name string, expires int64) {
	a.WriteByte(kind)
	a.number(uint64(len(name)))
	a.WriteString(name)
	a.number(uint64(expires))
}

// element begins an element of n bytes, which follow.
func (a *archiveWriter) element(n int64) { a.number(uint64(n) + 1) }

func (a *archiveWriter) endKey() error { return a.WriteByte(0) }

func (a *archiveWriter) close() error {
	a.WriteByte('.')
	if err := a.Flush(); err != nil {
		return err
	}
	_, err := a.to.Write(a.sum.Sum(nil))
	return err
}

// whole reads r to its end and makes sure that it is a backup of which nothing is
// missing. It returns what comes before the sum, from a temporary file if r cannot be
// read twice, and what is to be called in the end.
func whole(r io.Reader) (backup io.Reader, done func(), err error) {
	done = func() {}
	seeker, ok := r.(io.Seeker)
	start := int64(0)
	if ok {
		start, err = seeker.Seek(0, io.SeekCurrent)
		ok = err == nil
	}
	var spool *os.File
	source := r
	if !ok {
		if spool, err = os.CreateTemp("", "ebb-restore-*"); err != nil {
			return nil, done, err
		}
		done = func() { spool.Close(); os.Remove(spool.Name()) }
		source, seeker = io.TeeReader(r, spool), spool
	}
	size, err := checked(source)
	if err == nil {
		_, err = seeker.Seek(start, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, func() {}, err
	}
	if spool != nil {
		r = spool
	}
	return io.LimitReader(r, size), done, nil
}

// checked compares the sum at the end of r with what comes before it, and returns how
// many bytes that are.
func checked(r io.Reader) (size int64, err error) {
	sum := sha256.New()
	buf := make([]byte, 0, 256<<10)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if size == 0 && len(buf) >= len(magic) && !bytes.HasPrefix(buf, []byte(magic)) {
			return 0, store.WithHint(fmt.Errorf("%w: this is no backup of a store on Redis", store.ErrCorrupt), "a backup goes back into the kind of store that it was made of")
		}
		if keep := len(buf) - sha256.Size; keep > 0 && (len(buf) == cap(buf) || err != nil) {
			sum.Write(buf[:keep])
			size += int64(keep)
			buf = buf[:copy(buf[:cap(buf)], buf[keep:])]
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	if size <= int64(len(magic)) || !bytes.Equal(sum.Sum(nil), buf) {
		return 0, errDamaged
	}
	return size, nil
}

// archiveReader reads a backup that is whole.
type archiveReader struct{ *bufio.Reader }

func newArchiveReader(r io.Reader) (*archiveReader, error) {
	a := &archiveReader{bufio.NewReaderSize(r, 256<<10)}
	if _, err := a.Discard(len(magic)); err != nil {
		return nil, errDamaged
	}
	line, err := a.ReadBytes('\n')
	var head archiveHead
	if err != nil || json.Unmarshal(line, &head) != nil {
		return nil, errDamaged
	}
	if head.Format > archiveFormat || head.MinReader > version {
		return nil, store.WithHint(fmt.Errorf("%w: the backup asks for version %d", store.ErrTooNew, head.MinReader), "upgrade ebb")
	}
	if head.Layout != "sidekiq" {
		return nil, fmt.Errorf("the backup is of the layout %q, not %q", head.Layout, "sidekiq")
	}
	return a, nil
}

// key returns the next key, or io.EOF. Its elements must be read to their end first.
func (a *archiveReader) key() (kind byte, name string, expires int64, err error) {
	kind, err = a.ReadByte()
	if err == nil && kind == '.' {
		return 0, "", 0, io.EOF
	}
	n, err := binary.ReadUvarint(a)
	if err != nil {
		return 0, "", 0, unexpected(err)
	}
	text, err := a.text(n)
	if err != nil {
		return 0, "", 0, err
	}
	at, err := binary.ReadUvarint(a)
	return kind, text, int64(at), unexpected(err)
}

// element returns the next element of a key; ok is false after the last one.
func (a *archiveReader) element() (text string, ok bool, err error) {
	n, err := binary.ReadUvarint(a)
	if err != nil || n == 0 {
		return "", false, unexpected(err)
	}
	text, err = a.text(n - 1)
	return text, err == nil, err
}

// longest is more than any server takes for one element.
const longest = 1 << 30

func (a *archiveReader) text(n uint64) (string, error) {
	if n > longest {
		return "", errDamaged
	}
	buf := make([]byte, n)
	_, err := io.ReadFull(a, buf)
	return string(buf), unexpected(err)
}

// unexpected is err, where the end of the file is none.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDamaged
	}
	return err
}

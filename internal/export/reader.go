package export

import (
	"bufio"
	"bytes"
	"errors"
	"hash/crc64"
	"io"
)

// Reader splits a stream into lines, of which it keeps one in memory. It does not
// look into them, so that a bad one can be named and passed over.
type Reader struct {
	src    *bufio.Reader
	max    int
	buf    []byte
	line   int64
	offset int64
	sum    uint64
}

// DefaultMaxLine holds any payload that a client accepts unless told otherwise, in
// Base64 too.
const DefaultMaxLine = 16 << 20

// ErrTooLong is a line longer than the reader takes. Reading goes on behind it.
var ErrTooLong = errors.New("export: the line is too long")

// NewReader reads lines of at most max bytes; 0 means DefaultMaxLine.
func NewReader(src io.Reader, max int) *Reader {
	if max <= 0 {
		max = DefaultMaxLine
	}
	return &Reader{src: bufio.NewReaderSize(src, 64<<10), max: max}
}

// Line is the number of the line that Next came to last, the first being 1.
func (r *Reader) Line() int64 { return r.line }

// Offset is where in the stream that line ends, in bytes.
func (r *Reader) Offset() int64 { return r.offset }

// Sum is the CRC-64 of the stream up to there, by which a later run sees that what
// it reads is the same.
func (r *Reader) Sum() uint64 { return r.sum }

var sums = crc64.MakeTable(crc64.ECMA)

// Next returns the next line that is not empty, without its end and good until Next
// is called again. The last line needs no newline; behind it comes io.EOF. After
// ErrTooLong it may be called again, after any other error not.
func (r *Reader) Next() ([]byte, error) {
	for {
		line, err := r.next()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

func (r *Reader) next() ([]byte, error) {
	r.buf = r.buf[:0]
	tooLong := false
	for begun := false; ; begun = true {
		part, err := r.src.ReadSlice('\n')
		r.offset += int64(len(part))
		r.sum = crc64.Update(r.sum, sums, part)
		if !begun && len(part) > 0 {
			r.line++
		}
		if tooLong = tooLong || len(r.buf)+len(part) > r.max+len("\r\n"); !tooLong {
			r.buf = append(r.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && (begun || len(part) > 0):
			err = nil
		}
		if err == nil && tooLong {
			err = ErrTooLong
		}
		if err != nil {
			return nil, err
		}
		return bytes.TrimSpace(r.buf), nil
	}
}

package demo

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/ebbjobs/ebb"
)

// fileArgs are those of a job that measures one file.
type fileArgs struct{ ID int64 }

// walkArgs are those of the long job, which goes through all files.
type walkArgs struct{}

var (
	measureFile = ebb.Define[fileArgs]("MeasureFile")
	walkFiles   = ebb.Define[walkArgs]("WalkFiles", ebb.Queue("walk"))
)

// handlers runs both kinds of job.
type handlers struct {
	ledger     *ledger
	step, each time.Duration // pauses of the walk after a file, and of each file's job
}

func (h *handlers) measure(ctx context.Context, job fileArgs) error {
	path, err := h.ledger.begin(ctx, job.ID)
	if err != nil {
		return err
	}
	r, err := measure(ctx, path)
	if err != nil {
		return err
	}
	if err := pause(ctx, h.each); err != nil {
		return err
	}
	return h.ledger.finish(ctx, job.ID, r)
}

// position is where the walk is: the last file that is in the sum, and the sum.
type position struct {
	File int64
	Sum  []byte
}

// walk makes one sum of the sums of all files. It saves its position after each, and
// waits until that is written: a kill costs it no more than one file. Where steps are
// cheaper than a write, Checkpoint is the better choice.
func (h *handlers) walk(ctx context.Context, _ walkArgs) error {
	if _, err := h.ledger.begin(ctx, 0); err != nil {
		return err
	}
	sum := sha256.New()
	at, resumed, err := ebb.Resume[position](ctx)
	if err != nil {
		return err
	}
	if resumed {
		if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(at.Sum); err != nil {
			return err
		}
		if err := h.ledger.resumed(ctx, at.File); err != nil {
			return err
		}
	}
	c, err := h.ledger.counts(ctx)
	if err != nil {
		return err
	}
	for {
		ebb.Progress(ctx, at.File, int64(c.files), "")
		path, err := h.ledger.path(ctx, at.File+1)
		if errors.Is(err, fs.ErrNotExist) {
			return h.ledger.finish(ctx, 0, result{SHA256: hex.EncodeToString(sum.Sum(nil))})
		}
		if err != nil {
			return err
		}
		r, err := read(ctx, path, io.Discard)
		if err != nil {
			return err
		}
		addTo(sum, r)
		at.File++
		if at.Sum, err = sum.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
			return err
		}
		if err := ebb.CheckpointNow(ctx, at); err != nil {
			return err
		}
		if err := pause(ctx, h.step); err != nil {
			return err
		}
	}
}

// pause makes a job long enough to be seen, and no stop longer than it need be.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	stopping, _ := ebb.Stopping(ctx)
	select {
	case <-time.After(d):
		return nil
	case <-stopping:
		return ebb.ErrYield
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// addTo adds a file's result to the sum of the walk.
func addTo(sum hash.Hash, r result) { io.WriteString(sum, r.SHA256+"\n") }

// measure computes a file's result.
func measure(ctx context.Context, path string) (result, error) {
	var size counter
	zip := gzip.NewWriter(&size)
	r, err := read(ctx, path, zip)
	if err := errors.Join(err, zip.Close()); err != nil {
		return result{}, err
	}
	if r.Note == "" {
		r.Gzip = int64(size)
	}
	return r, nil
}

// read sums a file up and copies it to w. That the file cannot be read is a result;
// that ctx has ended is an error.
func read(ctx context.Context, path string, w io.Writer) (result, error) {
	r, err := readFile(ctx, path, w)
	if ctx.Err() != nil {
		return result{}, context.Cause(ctx)
	}
	if err != nil {
		return result{Note: err.Error()}, nil
	}
	return r, nil
}

func readFile(ctx context.Context, path string, w io.Writer) (result, error) {
	f, err := os.Open(path)
	if err != nil {
		return result{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return result{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(sum, w), reader{ctx, f}); err != nil {
		return result{}, err
	}
	return result{SHA256: hex.EncodeToString(sum.Sum(nil)), Of: info.ModTime().UnixNano()}, nil
}

// reader reads until its context ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/ebbjobs/ebb"
)

// maxCheckpoint is what a job may remember. What is larger is not even read.
const maxCheckpoint = 256 << 10

// checkpoint is the file in which a program leaves what its next run is to know.
type checkpoint struct {
	path string
	save func(value any) error
	log  *slog.Logger

	seen   stamp  // the file as it was last read
	text   []byte // what it held then
	warned bool
}

// stamp is what changes when a file is replaced or rewritten.
type stamp struct {
	size    int64
	changed time.Time
	id      os.FileInfo // for os.SameFile; nil: no file
}

func (s stamp) same(t stamp) bool {
	if s.id == nil || t.id == nil {
		return s.id == t.id
	}
	return s.size == t.size && s.changed.Equal(t.changed) && os.SameFile(s.id, t.id)
}

func stampOf(info os.FileInfo) stamp {
	return stamp{size: info.Size(), changed: info.ModTime(), id: info}
}

// restore writes what an earlier run has left. Nothing is no file.
func (c *checkpoint) restore(value json.RawMessage) error {
	if len(value) == 0 {
		return nil
	}
	text, err := fromJSON(value)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path, text, 0o600); err != nil {
		return err
	}
	info, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	c.seen, c.text = stampOf(info), text
	return nil
}

// look saves what is in the file if it has changed. A file that changes while it is
// read is left for the next look, unless that is the last one.
func (c *checkpoint) look(last bool) {
	text, seen, err := c.read(last)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errUnchanged):
		return
	case err == nil:
		c.seen = seen
		if len(text) == 0 || bytes.Equal(text, c.text) {
			return
		}
		c.text = text
		err = c.save(toJSON(text))
	default:
		c.seen = seen
	}
	// Without a job, or one that another process has, there is nothing to save it for.
	if err == nil || c.warned || errors.Is(err, ebb.ErrNoJob) || errors.Is(err, ebb.ErrLeaseLost) {
		return
	}
	c.warned = true
	c.log.Warn("checkpoint was not taken; the one before counts", "cause", err)
}

var errUnchanged = errors.New("checkpoint has not changed, or is changing just now")

func (c *checkpoint) read(last bool) ([]byte, stamp, error) {
	info, err := os.Stat(c.path)
	if err != nil {
		return nil, stamp{}, err
	}
	if stampOf(info).same(c.seen) && !last {
		return nil, c.seen, errUnchanged
	}
	// To open a pipe waits for its writer, unless told not to.
	file, err := os.OpenFile(c.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, stampOf(info), err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, stamp{}, err
	}
	before := stampOf(info)
	if !info.Mode().IsRegular() {
		return nil, before, fmt.Errorf("%s is not a file", c.path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxCheckpoint+1))
	if err != nil {
		return nil, before, err
	}
	if info, err = file.Stat(); err != nil {
		return nil, before, err
	}
	switch {
	case len(text) > maxCheckpoint:
		return nil, before, errors.New("it has more than 256 KiB")
	case !last && (!stampOf(info).same(before) || before.size != int64(len(text))):
		return nil, stamp{}, errUnchanged
	case !utf8.Valid(text):
		return nil, before, errors.New("it is neither JSON nor text in UTF-8")
	}
	return text, before, nil
}

// toJSON is a checkpoint as it travels. JSON stays what it is, so that people can
// read it in the job. All else is a JSON string, and so is a string in JSON: else
// the next run would find it without its quotes.
func toJSON(text []byte) any {
	value := bytes.TrimSpace(text)
	if json.Valid(value) && value[0] != '"' {
		return json.RawMessage(value)
	}
	return string(text)
}

// fromJSON is what the next run finds: the same text, or the same JSON, as a line.
func fromJSON(value json.RawMessage) ([]byte, error) {
	if value[0] != '"' {
		return append(bytes.Clone(value), '\n'), nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, err
	}
	return []byte(text), nil
}

package drain

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clock is what all who drain one worker go by: a file, locked by whoever is at it,
// that says when the first began and when TERM comes. Where no folder can be written
// to, what is locked is the worker's own file in /proc, which says nothing. Where
// there is neither, each goes by itself.
type clock struct {
	file   *os.File
	path   string // "" for a file that is not ours to write
	locked bool
}

func openClock(dirs []string, w Worker) *clock {
	c := &clock{}
	name := fmt.Sprintf("ebb-drain-%d-%s.clock", os.Getuid(), strings.Map(inName, w.Key))
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600); err == nil {
			// Anyone may put a file into /tmp, and an old clock means TERM at once.
			if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && isOwn(info) {
				c.file, c.path = f, path
				return c
			}
			f.Close()
		}
	}
	if w.PID > 0 {
		c.file, _ = os.Open(fmt.Sprintf("/proc/%d/stat", w.PID))
	}
	return c
}

func inName(r rune) rune {
	if r == '/' || r == ':' || r <= ' ' {
		return '-'
	}
	return r
}

// claim reports whether the worker is ours now: nobody else holds the clock.
func (c *clock) claim() bool {
	if c.file == nil || c.locked {
		return true
	}
	if c.locked = lock(c.file); c.locked && c.path != "" && !c.there() {
		// Its last holder is done with it and has taken it away: what comes later goes
		// by a clock of its own.
		c.file.Close()
		f, err := os.OpenFile(c.path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
		if c.file = f; err != nil {
			c.file, c.path = nil, ""
			return true
		}
		c.locked = lock(f)
	}
	return c.locked
}

// there reports whether the file still has its name.
func (c *clock) there() bool {
	held, err := c.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(c.path)
	return err == nil && os.SameFile(held, named)
}

// read returns what the first has written, if it has.
func (c *clock) read() (began, deadline time.Time, known bool) {
	if c.path == "" {
		return began, deadline, false
	}
	text, err := io.ReadAll(io.NewSectionReader(c.file, 0, 64))
	words := strings.Fields(string(text))
	if err != nil || len(words) != 2 {
		return began, deadline, false
	}
	from, err1 := strconv.ParseInt(words[0], 10, 64)
	to, err2 := strconv.ParseInt(words[1], 10, 64)
	return time.UnixMilli(from), time.UnixMilli(to), err1 == nil && err2 == nil
}

// write sets the clock for those who come later. Where it cannot, they begin anew.
func (c *clock) write(began, deadline time.Time) {
	if c.path == "" {
		return
	}
	// One write of one length, so that a reader sees the old one or the new.
	fmt.Fprintf(io.NewOffsetWriter(c.file, 0), "%-15d %-15d\n", began.UnixMilli(), deadline.UnixMilli())
}

// close lets go of the clock. One that is over is taken away.
func (c *clock) close(over bool) {
	if c.file == nil {
		return
	}
	if over && c.locked && c.path != "" {
		os.Remove(c.path)
	}
	c.file.Close()
}

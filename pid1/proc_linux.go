package pid1

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// proc is a /proc, for one goroutine. It is read over and over while a stop waits, so
// that what it reads goes into one buffer.
type proc struct {
	fs.FS
	buffer [4 << 10]byte
}

func newProc() *proc { return &proc{FS: os.DirFS("/proc")} }

// read returns the beginning of a file, until the next call.
func (p *proc) read(pid int, name string) ([]byte, bool) {
	f, err := p.Open(strconv.Itoa(pid) + name)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	n, err := f.Read(p.buffer[:]) // such files are read in one go
	return p.buffer[:n], err == nil || err == io.EOF
}

// incarnation is one process and no other, also where its number was another's before.
type incarnation struct {
	pid     int
	started uint64 // when, as /proc has it
}

// process is one as /proc tells of it.
type process struct {
	incarnation
	parent  int
	ended   bool // a zombie
	stopped bool // by a signal, until CONT
}

// sees reports whether this /proc is of our own PID namespace. Where only the
// namespace was changed and nothing mounted, its numbers mean others.
func (p *proc) sees(self int) bool {
	text, err := fs.ReadFile(p, "self/stat")
	if err != nil {
		return false
	}
	number, _, _ := bytes.Cut(text, []byte(" "))
	return string(number) == strconv.Itoa(self)
}

// children returns all processes there are, by parent.
func (p *proc) children() map[int][]process {
	children := map[int][]process{}
	entries, _ := fs.ReadDir(p, ".") // what was read before an error is worth having
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if c, ok := p.process(pid); ok {
				children[c.parent] = append(children[c.parent], c)
			}
		}
	}
	return children
}

// process reads PID/stat: the number, the name in parentheses, which may have any
// bytes in it, and then the state, the parent, and many more, of which the 20th is
// the start (proc(5)).
func (p *proc) process(pid int) (process, bool) {
	text, ok := p.read(pid, "/stat")
	if !ok {
		return process{}, false
	}
	c, n := process{incarnation: incarnation{pid: pid}}, 0
	for field := range bytes.FieldsSeq(text[bytes.LastIndexByte(text, ')')+1:]) {
		switch n {
		case 0:
			c.ended = field[0] == 'Z' || field[0] == 'X'
			c.stopped = field[0] == 'T'
		case 1:
			c.parent, _ = strconv.Atoi(string(field))
		case 19:
			c.started, _ = strconv.ParseUint(string(field), 10, 64)
			return c, true
		}
		n++
	}
	return process{}, false
}

// cares reports whether a process has plans of its own for a signal: it has a handler
// for it, or blocks it, which is how those read it that wait for signals in a loop
// (sigwait, signalfd). One that cannot be read has none.
func (p *proc) cares(pid int, s syscall.Signal) bool {
	text, _ := p.read(pid, "/status")
	var care uint64
	for line := range bytes.Lines(text) {
		name, mask, _ := bytes.Cut(line, []byte(":"))
		if string(name) == "SigCgt" || string(name) == "SigBlk" {
			bits, _ := strconv.ParseUint(string(bytes.TrimSpace(mask)), 16, 64)
			care |= bits
		}
	}
	return s > 0 && care>>(s-1)&1 == 1
}

// concerned returns those who get a signal that is for roots: these, and below them
// all that have nobody above them who cares for it. Parents come before children. A
// worker that handles TERM decides itself what its own helpers get.
func (p *proc) concerned(roots []process, children map[int][]process, s syscall.Signal) (all []process) {
	line := append([]process(nil), roots...)
	for len(line) > 0 {
		c := line[0]
		line = line[1:]
		if c.ended {
			continue
		}
		all = append(all, c)
		if !p.cares(c.pid, s) {
			line = append(line, children[c.pid]...)
		}
	}
	return all
}

// below returns roots and all their descendants that live.
func below(roots []process, children map[int][]process) (all []process) {
	line := append([]process(nil), roots...)
	for len(line) > 0 {
		c := line[0]
		line = append(line[1:], children[c.pid]...)
		if !c.ended {
			all = append(all, c)
		}
	}
	return all
}

// title is a process's command line with spaces between its words, or what it has
// written over it.
func (p *proc) title(pid int) string {
	text, _ := p.read(pid, "/cmdline")
	return string(bytes.TrimSpace(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
}

// send signals the process, unless it has ended and another has got its number: it
// is held on to before that is looked at.
func (p *proc) send(c process, s syscall.Signal) error {
	held, err := os.FindProcess(c.pid)
	if err != nil {
		return err
	}
	defer held.Release()
	if now, ok := p.process(c.pid); !ok || now.incarnation != c.incarnation {
		return os.ErrProcessDone
	}
	return held.Signal(s)
}

// Package proctitle lets a process say in its command line what it does, so that ps
// and whoever reads /proc see it there. On systems other than Linux it does nothing.
//
// The text takes the place of the arguments in the process's memory, and of the first
// variables of its environment where these do not suffice: /proc/PID/environ is not
// to be relied on afterwards. Inside, nothing changes. os.Args is made a copy before
// main begins, Go keeps its own environment, and the one of C is moved away before it
// would be written over. Only a package that Go initialises before this one and that
// keeps a part of os.Args, as flag does for the name of the program, sees the text.
package proctitle

import "sync"

var (
	mu   sync.Mutex
	area = sync.OnceValue(find)
)

// Room returns the length of the longest text that Set can show, 0 where there is none.
func Room() int {
	mu.Lock()
	defer mu.Unlock()
	return area().room()
}

// Set shows text. It does nothing if there is no room for all of it.
func Set(text string) {
	mu.Lock()
	defer mu.Unlock()
	if a := area(); len(text) <= a.room() {
		a.write(text)
	}
}

// memory is what a title may be written to.
type memory struct {
	bytes     []byte // the arguments, and the environment if that follows
	arguments int    // how many bytes of that they are
	moved     bool   // nobody looks for the environment there any more
}

// maxText keeps a title, and the zero at its end, within the page that Linux reads of
// one that is longer than the arguments were (fs/proc/base.c, get_mm_proctitle).
const maxText = 4095

func (m *memory) room() int { return min(max(len(m.bytes)-1, 0), maxText) }

// write writes text and a zero behind it. The last byte of the arguments tells Linux
// whether the text goes on beyond them: it is zero if it does not.
func (m *memory) write(text string) {
	if len(text) >= m.arguments && !m.moved {
		moveEnvironment()
		m.moved = true
	}
	n := copy(m.bytes, text)
	m.bytes[n] = 0
	if n < m.arguments {
		clear(m.bytes[n:m.arguments])
	}
}

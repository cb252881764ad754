package console

import (
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Live is a few lines at the end of the screen that change, below others that stay.
// Where nobody watches only those that stay are written. It is for one goroutine.
type Live struct {
	w     io.Writer
	shows bool
	width func() int
	lines int // that stand there
}

// Live begins one on Out.
func (t *Terminal) Live() *Live {
	return &Live{w: t.Out, shows: t.OutWatched && t.ErrWatched, width: t.Width}
}

// Aside begins one on Err, beside an answer on Out.
func (t *Terminal) Aside() *Live {
	return &Live{w: t.Err, shows: t.ErrWatched, width: func() int { return t.width(t.errFile) }}
}

// Shows reports whether the changing lines are seen.
func (l *Live) Shows() bool { return l.shows }

// Say writes a line that stays.
func (l *Live) Say(format string, args ...any) {
	l.Set()
	fmt.Fprintf(l.w, format+"\n", args...)
}

// Set puts lines in place of those that change; none takes them away.
func (l *Live) Set(lines ...string) {
	if !l.shows {
		return
	}
	var b strings.Builder
	if l.lines > 0 {
		b.WriteString(ansi.CursorUp(l.lines) + "\r" + ansi.EraseScreenBelow)
	}
	for _, line := range lines {
		// A line that wraps would be two when it is taken away.
		b.WriteString(ansi.Truncate(line, max(10, l.width()-1), "…") + "\n")
	}
	l.lines = len(lines)
	io.WriteString(l.w, b.String())
}

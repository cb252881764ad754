package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/ebbjobs/ebb/internal/prose"
)

// Progress shows how far something long is: one line that changes where a person
// watches, else a line every ten seconds or tenth of the whole. It may be used by
// many goroutines at once.
type Progress struct {
	w       io.Writer
	live    bool
	unicode bool
	width   func() int
	what    string
	total   int64

	mu    sync.Mutex
	began time.Time
	shown time.Time // when the last line was written
	tenth int64     // of the whole, at that time
	done  int64
	note  string
	lines bool // a live line stands there
}

const (
	liveEvery  = 100 * time.Millisecond
	plainEvery = 10 * time.Second
)

// Progress begins one. What says what is done, total how much there is of it; 0 is
// not known. The first line appears when it has taken a moment. What is written to
// the same terminal meanwhile takes its place, and it comes back below.
func (t *Terminal) Progress(what string, total int64) *Progress {
	p := &Progress{
		w: t.err, live: t.ErrWatched, unicode: t.Unicode, what: what, total: total, began: time.Now(), shown: time.Now(),
		width: func() int { return t.width(t.errFile) },
	}
	t.changes.Store(p)
	return p
}

// Set says how much is done, and anything else in a few words.
func (p *Progress) Set(done int64, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.note = done, note
	now := time.Now()
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	tenth := int64(0)
	if p.total > 0 {
		tenth = 10 * done / p.total
	}
	if now.Sub(p.shown) < every && (p.live || tenth == p.tenth || now.Sub(p.shown) < time.Second) {
		return
	}
	p.shown, p.tenth = now, tenth
	p.print(now)
}

// Say writes a line for good, above the one that changes.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintf(p.w, format+"\n", args...)
	if p.live {
		p.print(time.Now())
	}
}

// End takes the changing line away. A second call does nothing.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *Progress) erase() {
	if p.lines {
		fmt.Fprint(p.w, "\r"+ansi.EraseEntireLine)
	}
	p.lines = false
}

func (p *Progress) print(now time.Time) {
	if !p.live {
		fmt.Fprintln(p.w, p.text(now, ""))
		return
	}
	const longest = 24
	line := p.text(now, bar(p.done, p.total, longest, p.unicode))
	p.erase()
	// The last cell stays free: some terminals begin a new line there.
	fmt.Fprint(p.w, ansi.Truncate(line, max(10, p.width()-1), "…"))
	p.lines = true
}

func (p *Progress) text(now time.Time, bar string) string {
	took := now.Sub(p.began)
	parts := []string{p.what}
	if bar != "" {
		parts = append(parts, bar)
	}
	if p.total > 0 {
		parts = append(parts, prose.Count(p.done)+"/"+prose.Count(p.total))
	} else {
		parts = append(parts, prose.Count(p.done))
	}
	if rate := float64(p.done) / took.Seconds(); p.done > 0 && took > time.Second {
		parts = append(parts, prose.Count(int64(rate))+"/s")
		if p.total > p.done {
			parts = append(parts, prose.Span(time.Duration(float64(p.total-p.done)/rate*float64(time.Second)))+" left")
		}
	}
	if p.note != "" {
		parts = append(parts, p.note)
	}
	return strings.Join(parts, "  ")
}

// bar draws how much of the whole is done, in the given number of cells. Without
// a whole there is none.
func bar(done, total int64, cells int, unicode bool) string {
	if total <= 0 {
		return ""
	}
	full := int(min(done, total) * int64(cells) / total)
	if !unicode {
		return "[" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]"
	}
	return Good(strings.Repeat("▇", full)) + Dim(strings.Repeat("░", cells-full))
}

// Bar draws done of total in the given number of cells.
func (t *Terminal) Bar(done, total int64, cells int) string {
	return bar(done, total, cells, t.Unicode)
}

// Restart puts the cursor where what follows overwrites the whole screen, on a
// terminal, for a view that is written again and again.
func (t *Terminal) Restart() {
	if t.OutWatched {
		fmt.Fprint(t.Out, ansi.EraseEntireScreen+ansi.CursorHomePosition)
	}
}

// Package console is how the command meets people: what their terminal can show,
// words in colours, tables, one line of progress, questions. It knows nothing of
// jobs. All escape codes come from libraries, and none reaches a stream that no
// person watches.
package console

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"
)

// Terminal is a command's three streams and what is known of whoever is behind
// them.
type Terminal struct {
	// Out is for answers, Err for everything else. Styles that a stream cannot show
	// are left out on the way.
	Out, Err io.Writer
	// Raw is Out for answers that are no text: nothing is left out.
	Raw io.Writer
	// OutWatched and ErrWatched say that a person sees the stream, InWatched that one
	// can be asked.
	InWatched, OutWatched, ErrWatched bool
	// Unicode is false where the locale says that only ASCII can be shown.
	Unicode bool

	in      *bufio.Reader
	err     io.Writer                // as Err, and may write where a line changes
	changes atomic.Pointer[Progress] // the line that does; nil: none
	outFile *os.File                 // nil: not a file
	errFile *os.File
	columns int // COLUMNS; 0: not set
}

// stream takes away the line that changes before it writes on the same screen.
type stream struct {
	t       *Terminal
	w       io.Writer
	watched bool
	lost    atomic.Pointer[error] // of the first write that failed
}

func (s *stream) Write(b []byte) (n int, err error) {
	if p := s.t.changes.Load(); p != nil && s.watched {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.erase()
	}
	if n, err = s.w.Write(b); err != nil {
		s.lost.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Lost returns why the first write to Out failed that did, nil if none has. Not all
// who write there say so.
func (t *Terminal) Lost() error {
	if out, ok := t.Out.(*stream); ok {
		if lost := out.lost.Load(); lost != nil {
			return *lost
		}
	}
	return nil
}

// defaultWidth is that of a terminal that does not tell.
const defaultWidth = 80

// New looks at the streams and the environment, of which NO_COLOR, CLICOLOR_FORCE,
// TERM, COLUMNS and the locale count.
func New(in io.Reader, out, err io.Writer, environ []string) *Terminal {
	t := &Terminal{
		Raw:       out,
		InWatched: isTerminal(in), OutWatched: isTerminal(out), ErrWatched: isTerminal(err),
		Unicode: speaksUnicode(environ),
		in:      bufio.NewReader(in),
	}
	t.err = t.fitting(colorprofile.NewWriter(err, environ), t.ErrWatched)
	t.Out = &stream{t: t, w: t.fitting(colorprofile.NewWriter(out, environ), t.OutWatched), watched: t.OutWatched}
	t.Err = &stream{t: t, w: t.err, watched: t.ErrWatched}
	t.outFile, _ = out.(*os.File)
	t.errFile, _ = err.(*os.File)
	t.columns, _ = strconv.Atoi(variable(environ, "COLUMNS"))
	if variable(environ, "TERM") == "dumb" {
		t.ErrWatched = false // it cannot rewrite a line
	}
	return t
}

// fitting leaves nothing to a person's terminal that it cannot show.
func (t *Terminal) fitting(w io.Writer, watched bool) io.Writer {
	if t.Unicode || !watched {
		return w
	}
	return ascii{w}
}

// Width is how many cells a line of Out has, 80 if nobody knows.
func (t *Terminal) Width() int { return t.width(t.outFile) }

func (t *Terminal) width(f *os.File) int {
	if f != nil {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return cmp.Or(max(t.columns, 0), defaultWidth)
}

// ErrNobody says that there is nobody to ask.
var ErrNobody = errors.New("console: nobody is there to answer")

// Ask puts a question on Err and returns the line that is answered, trimmed. It
// returns ErrNobody where no person is at the input, io.EOF if the input ends, and the
// cause of ctx when that ends first: a read of a terminal cannot be ended, so it is
// left behind and takes the next line.
func (t *Terminal) Ask(ctx context.Context, question string) (string, error) {
	if !t.InWatched {
		return "", ErrNobody
	}
	if _, err := fmt.Fprint(t.Err, question+" "); err != nil {
		return "", err
	}
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := t.in.ReadString('\n')
		answered <- answer{line, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil && a.line == "" {
			return "", a.err
		}
		return strings.TrimSpace(a.line), nil
	case <-ctx.Done():
		fmt.Fprintln(t.Err) // what follows has a line of its own
		return "", context.Cause(ctx)
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// speaksUnicode follows the first of the three variables that is set. Where none
// is, as in most containers, the one who looks is on another machine.
func speaksUnicode(environ []string) bool {
	locale := cmp.Or(variable(environ, "LC_ALL"), variable(environ, "LC_CTYPE"), variable(environ, "LANG"))
	folded := strings.ToUpper(strings.ReplaceAll(locale, "-", ""))
	return locale == "" || strings.Contains(folded, "UTF8")
}

// variable returns the last value of a variable in an environment.
func variable(environ []string, name string) (value string) {
	for _, v := range environ {
		if key, val, ok := strings.Cut(v, "="); ok && key == name {
			value = val
		}
	}
	return value
}

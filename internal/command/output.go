package command

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	// maxOutput is how much of what one run prints is passed on.
	maxOutput = 1 << 20
	// maxPiece bounds a line, so that with all that goes in front it is still below
	// the 4 KiB that a pipe takes in one piece.
	maxPiece = 3 << 10
	// maxTail is how much of the end of standard error a failure tells.
	maxTail = 2 << 10
)

// output passes on what one run of a program prints.
type output struct {
	prefix string

	mu   sync.Mutex
	to   io.Writer
	left int // bytes until enough was passed on; negative: that was said
}

func newOutput(to io.Writer, kind, jid string) *output {
	end := []rune(printable(jid, ""))
	return &output{to: to, left: maxOutput, prefix: fmt.Sprintf("%s %s: ", printable(kind, ""), string(end[max(0, len(end)-10):]))}
}

// copy reads a program's output to its end, and keeps the last of it in end unless
// that is nil. It goes on reading when nobody listens any more: a program must not
// be stopped by what it prints.
func (o *output) copy(from io.Reader, end *tail) {
	chunk := make([]byte, 32<<10)
	var line []byte
	for {
		n, err := from.Read(chunk)
		if end != nil {
			end.add(chunk[:n])
		}
		if o.open() {
			line = o.lines(append(line, chunk[:n]...))
		}
		if err != nil {
			break
		}
	}
	if len(line) > 0 {
		o.print(line)
	}
}

// lines prints the whole lines of text, and returns the rest.
func (o *output) lines(text []byte) []byte {
	rest := text
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		for len(line) > maxPiece {
			n := runeStart(line, maxPiece)
			o.print(line[:n])
			line = line[n:]
		}
		if !whole {
			return append(text[:0], line...)
		}
		o.print(line)
		rest = after
	}
}

// runeStart is the last index up to n at which s can be cut without cutting a
// character.
func runeStart(s []byte, n int) int {
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n
}

func (o *output) open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.left >= 0
}

// print writes one line. What becomes of it is no concern of the job's.
func (o *output) print(line []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left < 0 {
		return
	}
	if o.left -= len(line) + 1; o.left < 0 {
		line = []byte("(more than 1 MiB was printed, the rest is dropped)")
	}
	text := strings.TrimSuffix(string(line), "\r")
	_, _ = io.WriteString(o.to, o.prefix+printable(text, "\t")+"\n")
}

// tail keeps the end of what it is given.
type tail struct {
	kept []byte
	cut  bool // there was more
}

// add keeps twice of what is told, so that the first line need not be a torn one.
func (t *tail) add(p []byte) {
	t.kept = append(t.kept, p[max(0, len(p)-2*maxTail):]...)
	if surplus := len(t.kept) - 2*maxTail; surplus > 0 || len(p) > 2*maxTail {
		t.cut = true
		t.kept = append(t.kept[:0], t.kept[max(0, surplus):]...)
	}
}

// String is the last lines, as people can read them.
func (t *tail) String() string {
	text := strings.ReplaceAll(string(t.kept), "\r\n", "\n")
	text = strings.TrimSpace(printable(text, "\n\t"))
	if t.cut || len(text) > maxTail {
		text = text[max(0, len(text)-maxTail):]
		if _, whole, ok := strings.Cut(text, "\n"); ok {
			text = whole
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, ""))
}

// printable makes s safe to show: no bytes that are not text, and nothing that moves
// a terminal's cursor but what is in keep.
func printable(s, keep string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune(keep, r) {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

package command

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestOutputLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", maxPiece/2) + "e" // a cut after maxPiece bytes would be fine, one later not
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":         {"", ""},
		"lines":           {"a\nb\n", "K j: a\nK j: b\n"},
		"no end":          {"a\nb", "K j: a\nK j: b\n"},
		"empty lines":     {"\n\n", "K j: \nK j: \n"},
		"Windows":         {"a\r\nb\r\n", "K j: a\nK j: b\n"},
		"not text":        {"a\xffb\x1b[31m\x00\tc\n", "K j: a\uFFFDb·[31m·\tc\n"},
		"a long line":     {long + "\nb\n", "K j: " + strings.Repeat("ü", maxPiece/2) + "\nK j: e\nK j: b\n"},
		"a cut in a rune": {"e" + long + "\n", "K j: e" + strings.Repeat("ü", maxPiece/2-1) + "\nK j: üe\n"},
	} {
		for reads, reader := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "by halves": iotest.HalfReader,
		} {
			var got bytes.Buffer
			newOutput(&got, "K", "j").copy(reader(strings.NewReader(tt.in)), nil)
			if diff := cmp.Diff(tt.want, got.String()); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, reads, diff)
			}
		}
	}
}

func TestOutputIsLimited(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	var end tail
	o := newOutput(&got, "K", "0123456789ab\ncdef")
	line := strings.Repeat("x", 99) + "\n"
	o.copy(io.MultiReader(strings.NewReader(strings.Repeat(line, 20_000)), strings.NewReader("the end")), &end)
	o.print([]byte("more"))
	lines := strings.SplitAfter(got.String(), "\n")
	if n := maxOutput/100 + 2; len(lines) != n { // one says it, and one is empty
		t.Errorf("%d lines, want %d", len(lines), n)
	}
	if diff := cmp.Diff("K 789ab·cdef: "+line, lines[0]); diff != "" {
		t.Errorf("first line (-want +got):\n%s", diff)
	}
	if last := lines[len(lines)-2]; !strings.HasSuffix(last, "(more than 1 MiB was printed, the rest is dropped)\n") {
		t.Errorf("last line %q", last)
	}
	if !strings.HasSuffix(end.String(), "x\nthe end") {
		t.Errorf("the end is %q", end.String())
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	numbered := func(from, to int) string {
		var b strings.Builder
		for i := range to - from {
			fmt.Fprintf(&b, "line %05d\n", from+i)
		}
		return b.String()
	}
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":       {"", ""},
		"blank":         {"\n \n", ""},
		"short":         {"a\nb\n", "a\nb"},
		"whole lines":   {numbered(0, 3000), strings.TrimSpace(numbered(3000-maxTail/11, 3000))},
		"one long line": {strings.Repeat("x", 3*maxTail), strings.Repeat("x", maxTail)},
		"wide letters":  {strings.Repeat("€", maxTail), strings.Repeat("€", maxTail/3)},
		"not text":      {"a\xff\x1b[2J\x00\r\nb", "a\uFFFD·[2J·\nb"},
	} {
		for _, step := range []int{1, 100, 5000, 1 << 20} {
			var end tail
			for rest := []byte(tt.in); len(rest) > 0; rest = rest[min(step, len(rest)):] {
				end.add(rest[:min(step, len(rest))])
			}
			if diff := cmp.Diff(tt.want, end.String()); diff != "" {
				t.Errorf("%s, %d at a time (-want +got):\n%s", name, step, diff)
			}
			if cap(end.kept) > 16*maxTail {
				t.Errorf("%s: %d bytes are kept", name, cap(end.kept))
			}
		}
	}
}

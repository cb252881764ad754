package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesAreWrittenInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newLines(&out)
		var all strings.Builder
		for i := range 3 * maxLines {
			line := fmt.Sprintf("line %d\n", i)
			all.WriteString(line)
			io.WriteString(l, line)
		}
		l.close()
		want := all.String()
		if out.String() != want {
			t.Errorf("%d bytes were written, want %d", out.Len(), len(want))
		}
		if n, err := io.WriteString(l, "late\n"); n != 5 || err != nil || out.String() != want {
			t.Errorf("a line after the end: %d, %v", n, err)
		}
	})
}

// A reader that does not read costs its patience once, and then only lines.
func TestLinesThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := newLines(w)
		began := time.Now()
		for range maxLines + 101 { // one is being written
			io.WriteString(l, "line\n")
		}
		if took := time.Since(began); took != logPatience {
			t.Errorf("writing took %v, want %v", took, logPatience)
		}
		began = time.Now()
		var out bytes.Buffer
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(&out, r)
		}()
		synctest.Wait()
		io.WriteString(l, "last\n")
		l.close()
		w.Close()
		<-read
		text := out.String()
		if n := strings.Count(text, "line\n"); n != maxLines+1 {
			t.Errorf("%d lines came, want %d", n, maxLines+1)
		}
		if want := "ebb: 100 lines of the log were dropped: nobody read it\nlast\n"; !strings.HasSuffix(text, want) {
			t.Errorf("it ends in %q", text[max(0, len(text)-100):])
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestLinesEndThoughNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := newLines(w)
		io.WriteString(l, "line\n")
		began := time.Now()
		l.close()
		if took := time.Since(began); took != logPatience {
			t.Errorf("the end took %v, want %v", took, logPatience)
		}
		r.Close()
	})
}

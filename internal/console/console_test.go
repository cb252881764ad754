package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	table := NewTable(&b, 30, Column{Head: "JID"}, Column{Head: "TRY", Right: true}, Column{Head: "ERROR", Flex: true})
	if err := table.Print([]string{"0001", "4", "CardError: declined"}, []string{"0002", "12", "Timeout: no answer in 30 s"}); err != nil {
		t.Fatal(err)
	}
	if err := table.Print([]string{"0003, which is longer", "5", ""}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"JID   TRY  ERROR",
		"0001    4  CardError: declined",
		"0002   12  Timeout: no answer…",
		"0003, which is longer    5", "",
	}, "\n")
	if got := ansi.Strip(b.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"[##..]":      bar(5, 10, 4, false),
		"[####]":      bar(50, 10, 4, false),
		"no end  1/2": (&Progress{what: "no end", done: 1, total: 2}).text(time.Time{}, ""),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNobodyIsAsked(t *testing.T) {
	t.Parallel()
	var out, err bytes.Buffer
	term := New(strings.NewReader("y\n"), &out, &err, nil)
	if _, err := term.Ask(t.Context(), "Go on?"); !errors.Is(err, ErrNobody) {
		t.Errorf("error %v, want ErrNobody", err)
	}
	if err.Len()+out.Len() > 0 {
		t.Errorf("it asked all the same: %s%s", &out, &err)
	}
}

func TestStylesEndWhereNobodyWatches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ []string
		styled  bool
	}{
		"piped":             {nil, false},
		"piped with a TERM": {[]string{"TERM=xterm-256color"}, false},
		"colour is forced":  {[]string{"TERM=xterm-256color", "CLICOLOR_FORCE=1"}, true},
		"force is stronger": {[]string{"TERM=xterm-256color", "CLICOLOR_FORCE=1", "NO_COLOR=1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			term := New(strings.NewReader(""), &out, &bytes.Buffer{}, c.environ)
			if _, err := term.Out.Write([]byte(Bad("wrong"))); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(out.String(), "\x1b[3"); got != c.styled {
				t.Errorf("wrote %q", &out)
			}
		})
	}
}

func TestUnicode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ []string
		want    bool
	}{
		"nothing is said":      {nil, true},
		"UTF-8":                {[]string{"LANG=de_DE.UTF-8"}, true},
		"the POSIX locale":     {[]string{"LANG=C"}, false},
		"the stronger one":     {[]string{"LANG=en_US.UTF-8", "LC_ALL=C"}, false},
		"an empty one, weaker": {[]string{"LC_ALL=", "LANG=C.utf8"}, true},
	} {
		if got := speaksUnicode(c.environ); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var plain, live bytes.Buffer
		p := &Progress{w: &plain, what: "retrying", total: 1000, began: time.Now(), shown: time.Now(), width: func() int { return 80 }}
		l := &Progress{w: &live, live: true, what: "retrying", total: 1000, began: time.Now(), shown: time.Now(), width: func() int { return 80 }}
		for i := range int64(1000) {
			time.Sleep(30 * time.Millisecond)
			p.Set(i+1, "")
			l.Set(i+1, "2 had moved on")
		}
		p.End()
		l.End()
		l.End()
		if lines := strings.Count(plain.String(), "\n"); lines != 10 {
			t.Errorf("%d lines where nobody watches, want one for each tenth:\n%s", lines, &plain)
		}
		if !strings.HasPrefix(plain.String(), "retrying  100/1,000  33/s  27 s left\n") {
			t.Errorf("the first line is %q", plain.String())
		}
		if strings.Contains(live.String(), "\n") || !strings.HasSuffix(live.String(), ansi.EraseEntireLine) {
			t.Errorf("the changing line did not stay one, or stayed: %q", live.String())
		}
	})
}

func TestLive(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := &Live{w: &b, shows: true, width: func() int { return 20 }}
	l.Set("one", "two, which is far too long for this")
	l.Say("for good")
	l.Set("three")
	want := "one\ntwo, which is far …\n" + ansi.CursorUp(2) + "\r" + ansi.EraseScreenBelow + "for good\nthree\n"
	if b.String() != want {
		t.Errorf("wrote %q, want %q", b.String(), want)
	}
	b.Reset()
	l = &Live{w: &b}
	l.Set("changes")
	l.Say("stays")
	if b.String() != "stays\n" {
		t.Errorf("wrote %q where nobody watches", b.String())
	}
}

// TestAskEnds: a person who presses ^C at a question need not answer it.
func TestAskEnds(t *testing.T) {
	t.Parallel()
	in, typed := io.Pipe()
	defer typed.Close()
	term := New(in, io.Discard, io.Discard, nil)
	term.InWatched = true
	pressed := errors.New("pressed ^C")
	ctx, end := context.WithCancelCause(t.Context())
	end(pressed)
	if _, err := term.Ask(ctx, "Go on?"); !errors.Is(err, pressed) {
		t.Errorf("Ask returned %v, want %v", err, pressed)
	}
}

// TestLost: what could not be written is remembered for those who do not ask.
func TestLost(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	in.Close()
	term := New(strings.NewReader(""), out, io.Discard, nil)
	if err := term.Lost(); err != nil {
		t.Errorf("nothing was written, and Lost returned %v", err)
	}
	io.WriteString(term.Out, "an answer")
	if err := term.Lost(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Lost returned %v, want %v", err, io.ErrClosedPipe)
	}
}

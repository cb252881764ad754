package stopseq

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parse reads a sequence that must be one.
func parse(t *testing.T, text string) Sequence {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"ebb's own", "TSTP;idle<=1h;TERM;25s;KILL", "TSTP;idle<=1h;TERM;25s;KILL"},
		{"the sign for at most", "TSTP;idle≤1h;TERM;25s;KILL", "TSTP;idle<=1h;TERM;25s;KILL"},
		{"Cloud 66's old scheduler", "USR1;1h;TERM;10s;KILL", "USR1;1h;TERM;10s;KILL"},
		{"Cloud 66's manifest", "tstp, 120, term, 30, kill", "TSTP;2m;TERM;30s;KILL"},
		{"any case, with SIG", "SigTstp;IDLE<=1H30M;sigTERM;90S;SIGKILL", "TSTP;idle<=1h30m;TERM;1m30s;KILL"},
		{"numbers of signals", "15;25;9", "TERM;25s;KILL"},
		{"a number behind idle is a signal", "TSTP;idle<=60;15", "TSTP;idle<=1m;TERM"},
		{"a number with SIG is a signal anywhere", "TERM;SIG9", "TERM;KILL"},
		{"a signal without a name", "SIG40;TERM", "SIG40;TERM"},
		{"blanks and lines", " TSTP ;\n idle <= 1h ;\tTERM ", "TSTP;idle<=1h;TERM"},
		{"one signal", "TERM", "TERM"},
		{"a wait behind the last signal", "INT;10s", "INT;10s"},
		{"idle, then longer", "TSTP;idle<=1h;5s;TERM", "TSTP;idle<=1h;5s;TERM"},
		{"a while, then idle", "TSTP;5s;idle<=1h;QUIT", "TSTP;5s;idle<=1h;QUIT"},
		{"CONT behind the last", "TERM;CONT;25s", "TERM;CONT;25s"},
		{"parts of a second", "TERM;0.5s;KILL", "TERM;500ms;KILL"},
		{"twice", "INT;INT", "INT;INT"},
		{"as long as may be", "TERM;360h;KILL;360h", "TERM;360h;KILL;360h"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := parse(t, test.text).String(); got != test.want {
				t.Errorf("%q is read as %s, want %s", test.text, got, test.want)
			}
		})
	}
}

func TestParseKnowsWhereStepsStand(t *testing.T) {
	t.Parallel()
	want := Sequence{
		{Kind: Signal, Signal: sigTSTP, At: 1},
		{Kind: Idle, For: time.Hour, At: 7},
		{Kind: Signal, Signal: syscall.SIGTERM, At: 19},
		{Kind: Wait, For: 25 * time.Second, At: 24},
	}
	if d := cmp.Diff(want, parse(t, " TSTP; idle ≤ 1h;TERM,25")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text  string
		at          int
		reason, try string
	}{
		{"nothing", "", 0, "no step", "TSTP;idle<=1h;TERM;25s;KILL"},
		{"blanks", "  ", 0, "no step", "TSTP;idle<=1h;TERM;25s;KILL"},
		{"an empty step", "TSTP;;TERM", 5, "missing", "separator"},
		{"nothing behind the last separator", "TERM; ", 6, "missing", "separator"},
		{"a slip", "TSTP;60;TREM", 8, `"TREM" is no step`, "did you mean TERM?"},
		{"a slip behind SIG", "SIGTSP;60;TERM", 0, `"SIGTSP" is no step`, "did you mean TSTP?"},
		{"a slip in idle", "TSTP;idel<=1h;TERM", 5, "no step", "a step is a signal"},
		{"a slip in idle alone", "TSTP;idel;TERM", 5, "no step", "did you mean idle<=1h?"},
		{"the idea for the signal", "quiet;60;TERM", 0, "no step", "did you mean TSTP?"},
		{"a word", "TSTP;until done;TERM", 10, "divided by ; or ,", "until;done"},
		{"no separators", "TSTP 120 TERM", 4, "divided by ; or ,", "TSTP;120;TERM"},
		{"idle without a most", "TSTP;idle;TERM", 9, "idle has no most", "idle<=1h"},
		{"idle at least", "TSTP;idle>=1h;TERM", 9, "behind idle", "idle<=1h"},
		{"idle of a word", "TSTP;idle<=long;TERM", 11, `"long" is no length of time`, "idle<=90s"},
		{"idle of nothing", "TSTP;idle≤;TERM", 12, `"" is no length of time`, "idle<=90s"},
		{"a wrong unit", "TERM;25x;KILL", 5, `"25x" is no length of time`, "90s"},
		{"a negative wait", "TERM;-5s;KILL", 5, "no length of time", "90s"},
		{"no such number", "SIG65;TERM", 0, "no signal 65", "1 to 64"},
		{"a number of no end", "TERM;99999999999999999999;KILL", 5, "no signal", "1 to 64"},
		{"a wait first", "1h;TERM", 0, "begins with a signal", "begin with TSTP"},
		{"a number of seconds first", "120,term", 0, "begins with a signal", "begin with TSTP"},
		{"idle first", "idle<=1h;TERM", 0, "begins with a signal", "begin with TSTP"},
		{"two waits", "TSTP;1h;10s;TERM", 8, "two waits in a row", "one wait"},
		{"idle twice", "TSTP;idle<=1h;idle<=1h;TERM", 14, "two waits in a row", "one wait"},
		{"no time", "TERM;0;KILL", 5, "no time", "leave it out"},
		{"more than a month", "TERM;360h;KILL;361h", 15, "more than 30 days", "an hour is 1h"},
		{"a year, which alone is too long", "TSTP;idle<=9000h;TERM", 5, "more than 30 days", "an hour is 1h"},
		{"no end", "TSTP;idle<=1h", 0, "nothing ends the process: TSTP", "TSTP;idle<=1h;TERM"},
		{"an end that is not the last", "TERM;10;TSTP;10", 8, "nothing ends the process: TSTP", "TERM;10s;TSTP;10s;TERM"},
		{"only CONT", "CONT", 0, "nothing ends the process", "CONT;TERM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			q, err := Parse(test.text)
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok {
				t.Fatalf("%q is read as %v, %v", test.text, q, err)
			}
			if q != nil || e.Text != test.text || e.At != test.at || !strings.Contains(e.Reason, test.reason) || !strings.Contains(e.Hint(), test.try) {
				t.Errorf("at %d, %s; hint: %s; want at %d, %s; hint: %s", e.At, e.Reason, e.Hint(), test.at, test.reason, test.try)
			}
			if !strings.Contains(e.Error(), test.reason) {
				t.Errorf("the error %q hides its reason", e)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for _, n := range signals {
		for _, text := range []string{n.name, "SIG" + n.name, strings.ToLower(n.name)} {
			if got, ok := ParseSignal(text); !ok || got != n.signal {
				t.Errorf("%s is read as %d, %v", text, got, ok)
			}
		}
		if got := SignalName(n.signal); got != n.name {
			t.Errorf("%s is called %s", n.name, got)
		}
	}
	for _, text := range []string{"", "SIG", "0", "65", "-1", "SIG-1", "+9", "TERM ", "9999999999999999999999"} {
		if got, ok := ParseSignal(text); ok {
			t.Errorf("%q is read as signal %d", text, got)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]string{Signal: "signal", Wait: "wait", Idle: "idle", 7: "unknown"} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is called %s, want %s", int(kind), got, want)
		}
	}
}

// FuzzParse: what is read is written so that it is read again as the same, its plan
// is in order, and a mistake has a place and something to try.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"TSTP;idle<=1h;TERM;25s;KILL", "TSTP;idle≤1h;TERM", "USR1;1h;TERM;10s;KILL", "tstp, 120, term, 30, kill",
		"15;25;9", "SIG40;0.5s;INT;INT", "TERM;360h;KILL;361h", "TERM;;", "idle", "TSTP;idle≤", "TSTP 5", "\xff;TERM", "TERM;1e3s", "TERM;1.5h2ns", "\f  \f",
	} {
		f.Add(text, int64(30*time.Second))
	}
	f.Fuzz(func(t *testing.T, text string, grace int64) {
		q, err := Parse(text)
		if err != nil {
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok || e.At < 0 || e.At > len(text) || e.Reason == "" || e.Hint() == "" {
				t.Fatalf("%q is refused by %#v", text, err)
			}
			return
		}
		again, err := Parse(q.String())
		if err != nil {
			t.Fatalf("%q is written as %s, which is refused: %v", text, q, err)
		}
		if d := cmp.Diff(placeless(q), placeless(again)); d != "" {
			t.Fatalf("%q is written as %s, which is read as another\n%s", text, q, d)
		}
		at := time.Duration(0)
		for _, h := range q.Plan(time.Duration(grace)) {
			if h.From != at || h.To < h.From {
				t.Fatalf("%s with a grace of %v: %v from %v to %v, after %v", q, time.Duration(grace), h.Step, h.From, h.To, at)
			}
			at = h.To
		}
		for _, w := range q.Lint(Facts{Grace: time.Duration(grace), WorkerTimeout: time.Duration(grace / 2)}) {
			if w.At < 0 || w.At >= len(text) || w.Happens == "" || w.Fix == "" {
				t.Fatalf("%q: %#v", text, w)
			}
		}
	})
}

func placeless(q Sequence) Sequence {
	without := make(Sequence, len(q))
	for i, step := range q {
		step.At = 0
		without[i] = step
	}
	return without
}

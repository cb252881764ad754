package stopseq

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLint(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, test := range []struct {
		name, text string
		facts      Facts
		want       []string // rule, severity, place
	}{
		{"nothing known, nothing wrong", "TSTP;idle<=1h;TERM;25s;KILL", Facts{}, nil},
		{"all fits", "TSTP;idle<=60s;TERM;30s;KILL", Facts{Grace: 120 * s, WorkerTimeout: 25 * s, SidekiqMajor: 7}, nil},
		{"TTIN quiets nothing", "TTIN;60;TERM", Facts{}, []string{"ttin warning 0"}},
		{"USR1, whatever the worker is", "USR1;60;TERM", Facts{}, []string{"usr1 warning 0"}},
		{"USR1 and Sidekiq 4", "USR1;60;TERM", Facts{SidekiqMajor: 4}, nil},
		{"USR1 and Sidekiq 5", "USR1;60;TERM", Facts{SidekiqMajor: 5}, []string{"usr1 error 0"}},
		{"USR1 and Sidekiq 8", "TSTP;60;usr1;60;TERM", Facts{SidekiqMajor: 8}, []string{"usr1 error 8"}},
		{"INT twice", "INT;INT", Facts{}, []string{"int-twice warning 4"}},
		{"INT twice, with time between", "INT;10;INT;10;KILL", Facts{}, []string{"int-twice warning 7"}},
		{"KILL first", "KILL", Facts{}, []string{"kill-first error 0"}},
		{"KILL last", "TERM;KILL", Facts{}, nil},
		{"STOP first", "STOP;60;TERM", Facts{}, []string{"frozen error 0"}},
		{"TTOU freezes as well", "TSTP;TTOU;TERM", Facts{}, []string{"frozen error 5"}},
		{"a signal that ends who does not handle it", "HUP;60;TERM", Facts{}, []string{"unhandled warning 0"}},
		{"a real-time signal", "SIG40;60;TERM", Facts{}, []string{"unhandled warning 0"}},
		{"a signal that nobody minds", "WINCH;60;TERM;CONT", Facts{}, nil},
		{"in the order of the steps", "TTIN;60;USR1;60;TERM", Facts{}, []string{"ttin warning 0", "usr1 warning 8"}},

		{"the grace ends before TERM", "TSTP;1h;TERM;10s;KILL", Facts{Grace: 30 * s}, []string{"over-grace error 5"}},
		{"the grace ends before KILL", "TERM;1h;KILL", Facts{Grace: 30 * s}, []string{"over-grace warning 5"}},
		{"the grace ends with the last wait", "TERM;30s;KILL", Facts{Grace: 30 * s}, nil},
		{"one step over, the next as well", "TSTP;20s;TERM;20s;KILL;20s", Facts{Grace: 30 * s}, []string{"over-grace warning 14"}},
		{"idle gives way to the grace", "TSTP;idle<=1h;TERM;25s;KILL", Facts{Grace: 120 * s}, []string{"idle-cut warning 5"}},
		{"idle has no time at all", "TSTP;idle<=1h;TERM;25s;KILL", Facts{Grace: 27 * s}, []string{"idle-cut warning 5"}},

		{"KILL before the timeout", "TERM;10s;KILL", Facts{WorkerTimeout: 25 * s}, []string{"kill-early error 5"}},
		{"KILL with the timeout", "TERM;25s;KILL", Facts{WorkerTimeout: 25 * s}, []string{"kill-early warning 5"}},
		{"KILL after the timeout", "TERM;26s;KILL", Facts{WorkerTimeout: 25 * s}, nil},
		{"KILL at once", "TERM;KILL", Facts{WorkerTimeout: 25 * s}, []string{"kill-early error 0"}},
		{"the time counts from the first that ends", "INT;20s;TERM;10s;KILL", Facts{WorkerTimeout: 25 * s}, nil},
		{"no KILL and no grace", "TSTP;1h;TERM", Facts{WorkerTimeout: 25 * s}, nil},
		{"the platform's KILL before the timeout", "TSTP;10s;TERM", Facts{Grace: 30 * s, WorkerTimeout: 25 * s}, []string{"kill-early error 9"}},
		{"what idle leaves is too little", "TSTP;idle<=20s;TERM", Facts{Grace: 30 * s, WorkerTimeout: 25 * s}, []string{"kill-early error 15"}},
		{"TERM beyond the grace is told once", "TSTP;1h;TERM;10s;KILL", Facts{Grace: 30 * s, WorkerTimeout: 25 * s}, []string{"over-grace error 5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, w := range parse(t, test.text).Lint(test.facts) {
				got = append(got, fmt.Sprint(w.Rule, " ", w.Severity, " ", w.At))
				if w.Happens == "" || w.Fix == "" {
					t.Errorf("%s says too little: %q, %q", w.Rule, w.Happens, w.Fix)
				}
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestFixesFix: what a warning about time says to write takes the warning away.
func TestFixesFix(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, test := range []struct {
		name, before, after string
		facts, then         Facts
		says                string
	}{
		{"a longer grace for a wait", "TSTP;60;TERM;30;KILL", "TSTP;60;TERM;30;KILL", Facts{Grace: 30 * s}, Facts{Grace: 92 * s}, "a grace of 1m32s, or shorter waits"},
		{"a longer grace for idle", "TSTP;idle<=60;TERM;30;KILL", "TSTP;idle<=60;TERM;30;KILL", Facts{Grace: 60 * s}, Facts{Grace: 92 * s}, "a grace of 1m32s, or idle<=28s"},
		{"a shorter idle", "TSTP;idle<=60;TERM;30;KILL", "TSTP;idle<=28;TERM;30;KILL", Facts{Grace: 60 * s}, Facts{Grace: 60 * s}, "idle<=28s"},
		{"no idle to be had", "TSTP;idle<=60;TERM;30;KILL", "TSTP;idle<=60;TERM;30;KILL", Facts{Grace: 32 * s}, Facts{Grace: 92 * s}, "a grace of 1m32s"},
		{"a wait for the worker", "TERM;10;KILL", "TERM;30;KILL", Facts{WorkerTimeout: 25 * s}, Facts{WorkerTimeout: 25 * s}, "a wait of 30s behind TERM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			warnings := parse(t, test.before).Lint(test.facts)
			if len(warnings) != 1 || !strings.Contains(warnings[0].Fix, test.says) {
				t.Fatalf("found %+v, want one that says %q", warnings, test.says)
			}
			if rest := parse(t, test.after).Lint(test.then); len(rest) > 0 {
				t.Errorf("and then: %+v", rest)
			}
		})
	}
}

// TestDocument: the reference tells of every rule and of no other, and what it draws
// is what is planned.
func TestDocument(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "docs", "reference", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const s = time.Second
	all := Facts{Grace: 30 * s, WorkerTimeout: 20 * s, SidekiqMajor: 7}
	rules := map[string]bool{}
	for _, text := range []string{"KILL", "TTIN;USR1;HUP;STOP;INT;INT;10;KILL", "TSTP;idle<=1h;TERM", "TSTP;1h;TERM"} {
		for _, w := range parse(t, text).Lint(all) {
			rules[w.Rule] = true
		}
	}
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (?:warning|error)").FindAllStringSubmatch(read("stop-sequences.md"), -1) {
		told[row[1]] = true
	}
	if d := cmp.Diff(rules, told); d != "" {
		t.Errorf("rules (-found +told)\n%s", d)
	}
	drawing := read("stop-sequences.svg")
	for _, h := range parse(t, "TSTP;idle<=1h;TERM;30s;KILL").Plan(120 * s) {
		if hour := fmt.Sprintf(">%.0f<", h.To.Seconds()); !strings.Contains(drawing, hour) {
			t.Errorf("%v ends at %s, which is not drawn", h.Step, hour)
		}
	}
}

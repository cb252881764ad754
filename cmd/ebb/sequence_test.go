package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/stopseq"
)

func TestTimeline(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, test := range []struct {
		name, text string
		grace      time.Duration
		want       []string // names, signs, and those in ASCII
	}{
		{"no grace known", "TSTP;idle<=40s;TERM;20s;KILL", 0, []string{
			"TSTP                     TERM       KILL",
			"◐╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌◒━━━━━━━━━━━━━✕",
			"q~~~~~~~~~~~~~~~~~~~~~~~~d-------------X",
		}},
		{"a grace with room", "TSTP;idle<=20s;TERM;10s;KILL", 40 * s, []string{
			"TSTP               TERM      KILL  grace",
			"◐╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌◒━━━━━━━━━✕·········┃",
			"q~~~~~~~~~~~~~~~~~~d---------X.........|",
		}},
		{"a grace within a wait", "TSTP;40s;TERM;KILL", 10 * s, []string{
			"TSTP       grace               TERM KILL",
			"◐━━━━━━━━━━┃                          ◒✕",
			"q----------|                          dX",
		}},
		{"all at once", "TERM;KILL", 0, []string{"TERM KILL", "◒✕", "dX"}},
		{"other signals", "USR2;10s;INT;10s", 0, []string{
			"USR2                INT",
			"●━━━━━━━━━━━━━━━━━━━◒━━━━━━━━━━━━━━━━━━━",
			"*-------------------d-------------------",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			q, err := parseSequence(test.text)
			if err != nil {
				t.Fatal(err)
			}
			a, out, _ := appOn(nil)
			for _, unicode := range []bool{true, false} {
				a.term.Out.Write([]byte(timeline(q.Plan(test.grace), test.grace, 40, unicode))) // nobody watches: without colours
			}
			want := test.want[0] + "\n" + test.want[1] + "\n" + test.want[0] + "\n" + test.want[2] + "\n"
			if out.String() != want {
				t.Errorf("got\n%swant\n%s", out, want)
			}
		})
	}
}

// TestTimelineFits: however many signals and however narrow, no line is longer than
// its terminal as long as the names have room.
func TestTimelineFits(t *testing.T) {
	t.Parallel()
	q, err := parseSequence("TSTP;idle<=1h;TERM;1s;INT;1s;QUIT;1s;KILL;5s")
	if err != nil {
		t.Fatal(err)
	}
	for _, grace := range []time.Duration{0, time.Second, time.Minute, 24 * time.Hour} {
		for cells := 30; cells < 130; cells += 7 {
			a, out, _ := appOn(nil)
			a.term.Out.Write([]byte(timeline(q.Plan(grace), grace, cells, true)))
			for line := range strings.Lines(out.String()) {
				if n := len([]rune(strings.TrimSpace(line))); n > cells {
					t.Errorf("with a grace of %v, %d cells of %d:\n%s", grace, n, cells, out)
				}
			}
		}
	}
}

// TestExplainForPeople: the line, the table, and what is unwise with its place.
func TestExplainForPeople(t *testing.T) {
	t.Parallel()
	q, err := parseSequence("TSTP;idle≤1h;TTIN;TERM;10s;KILL")
	if err != nil {
		t.Fatal(err)
	}
	a, out, _ := appOn(nil)
	a.term.OutWatched = true
	info := explainSequence(q, "TSTP;idle≤1h;TTIN;TERM;10s;KILL", stopseq.Facts{Grace: time.Minute, WorkerTimeout: 25 * time.Second})
	if err := a.show(info, info.page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"◐╌╌╌", "  0s  48s  idle<=1h  waits until nothing runs; the grace leaves it 48s\n",
		" 48s       TTIN      has it print what runs\n", "  1m       grace     is over: the platform's KILL\n",
		"\nwarning: ttin\n  TSTP;idle≤1h;TTIN;TERM;10s;KILL\n               ^\n  TTIN prints backtraces and quiets nothing: new jobs are fetched until TERM\n  comes,",
		"\nerror: kill-early\n  TSTP;idle≤1h;TTIN;TERM;10s;KILL\n                         ^\n",
		"\n  fix: a wait of 30s behind TERM\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say\n%s\nbut\n%s", want, out)
		}
	}
}
